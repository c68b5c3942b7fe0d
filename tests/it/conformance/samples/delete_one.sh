curl -X DELETE https://api.zaits.net/v1/face-matching/embeddings/embedding-id \
-H "Authorization: Bearer YOUR_API_KEY"
