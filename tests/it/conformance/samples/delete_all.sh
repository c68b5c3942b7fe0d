# Delete ALL embeddings for your tenant
curl -X DELETE https://api.zaits.net/v1/face-matching/embeddings \
-H "Authorization: Bearer YOUR_API_KEY"
