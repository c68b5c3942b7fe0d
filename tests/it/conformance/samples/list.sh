curl -X GET 'https://api.zaits.net/v1/face-matching/embeddings?active_only=true' \
-H "Authorization: Bearer YOUR_API_KEY"
