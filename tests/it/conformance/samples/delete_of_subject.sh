# Delete all embeddings for a specific subject
curl -X DELETE 'https://api.zaits.net/v1/face-matching/embeddings?subject_id=EMP-001' \
-H "Authorization: Bearer YOUR_API_KEY"
