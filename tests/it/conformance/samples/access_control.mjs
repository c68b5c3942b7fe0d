// Enroll employee during registration
const formData = new FormData();
formData.append('subject_id', 'EMP-12345'); // Employee ID from your system
formData.append('image', employeePhoto);
formData.append('metadata', JSON.stringify({
name: 'John Smith',
department: 'Engineering',
label: 'Employee Badge',
location: 'Building A - Security',
notes: 'Access level: Standard'
}));
const enrollResult = await fetch('https://api.zaits.net/v1/face-matching/enroll', {
method: 'POST',
headers: { 'Authorization': 'Bearer YOUR_API_KEY' },
body: formData
});
// Verify at entrance using 1:n search
const searchData = new FormData();
searchData.append('image', cameraImage);
searchData.append('threshold', '0.7');
searchData.append('limit', '1');
const searchResult = await fetch('https://api.zaits.net/v1/face-matching/search', {
method: 'POST',
headers: { 'Authorization': 'Bearer YOUR_API_KEY' },
body: searchData
}).then(r => r.json());
if (searchResult.matchCount > 0) {
const employee = searchResult.matches[0];
grantAccess(employee.subject_id); // Use subject_id (EMP-12345)
console.log(`Welcome, ${employee.metadata?.name || employee.subject_id}!`);
}
