import requests
files = {'image': open('unknown_face.jpg', 'rb')}
data = {
'threshold': 0.7,
'limit': 5
}
response = requests.post(
'https://api.zaits.net/v1/face-matching/search',
headers={'Authorization': 'Bearer YOUR_API_KEY'},
files=files,
data=data
)
result = response.json()
if result['matchCount'] > 0:
    top_match = result['matches'][0]
    print(f"Match found: {top_match['user_name']}")
    print(f"Confidence: {top_match['similarity'] * 100:.1f}%")
