import requests
subject_id = 'EMP-001' # Your app's user identifier
files = {'image': open('verification_selfie.jpg', 'rb')}
data = {'threshold': 0.7}
response = requests.post(
f'https://api.zaits.net/v1/face-matching/verify/{subject_id}',
headers={'Authorization': 'Bearer YOUR_API_KEY'},
files=files,
data=data
)
result = response.json()
print(f"Verified: {result['verified']}")
print(f"Similarity: {result['similarity']:.4f}")
