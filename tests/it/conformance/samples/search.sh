curl -X POST https://api.zaits.net/v1/face-matching/search \
-H "Authorization: Bearer YOUR_API_KEY" \
-F "image=@unknown_face.jpg" \
-F "threshold=0.7" \
-F "limit=5"
