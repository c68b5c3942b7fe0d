curl -X POST https://api.zaits.net/v1/face-matching/enroll \
-H "Authorization: Bearer YOUR_API_KEY" \
-F "subject_id=EMP-001" \
-F "image=@employee_photo.jpg" \
-F "quality_score=0.95" \
-F "liveness_score=0.88" \
-F "enrollment_source=hr_registration" \
-F 'metadata={"name":"John Smith","department":"Engineering","badge":"B-8472"}'
