const formData = new FormData();
formData.append('subject_id', 'EMP-001'); // Your employee ID
formData.append('image', employeePhoto);
formData.append('quality_score', '0.95');
formData.append('liveness_score', '0.88');
formData.append('enrollment_source', 'hr_registration');
formData.append('metadata', JSON.stringify({
name: 'John Smith',
department: 'Engineering',
badge: 'B-8472',
hire_date: '2024-01-15'
}));
const response = await fetch('https://api.zaits.net/v1/face-matching/enroll', {
method: 'POST',
headers: {
'Authorization': 'Bearer YOUR_API_KEY'
},
body: formData
});
const result = await response.json();
