curl -X POST https://api.zaits.net/v1/face-matching/verify/EMP-001 \
-H "Authorization: Bearer YOUR_API_KEY" \
-F "image=@verification_selfie.jpg" \
-F "threshold=0.7"
