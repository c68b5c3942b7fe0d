import requests
files = {'image': open('employee_photo.jpg', 'rb')}
data = {
'subject_id': 'EMP-001', # Your employee ID
'quality_score': 0.95,
'liveness_score': 0.88,
'enrollment_source': 'hr_registration',
'metadata': '{"name":"John Smith","department":"Engineering","badge":"B-8472"}'
}
response = requests.post(
'https://api.zaits.net/v1/face-matching/enroll',
headers={'Authorization': 'Bearer YOUR_API_KEY'},
files=files,
data=data
)
result = response.json()
