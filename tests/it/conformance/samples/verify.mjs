const subjectId = 'EMP-001'; // Your app's user identifier
const formData = new FormData();
formData.append('image', file);
formData.append('threshold', '0.7');
const response = await fetch(
`https://api.zaits.net/v1/face-matching/verify/${subjectId}`,
{
method: 'POST',
headers: {
'Authorization': 'Bearer YOUR_API_KEY'
},
body: formData
}
);
const result = await response.json();
if (result.verified) {
console.log('Access granted!');
} else {
console.log('Access denied');
}
