// Enroll customer during first visit
const formData = new FormData();
formData.append('subject_id', 'CUST-789'); // Customer ID from your system
formData.append('image', customerPhoto);
formData.append('metadata', JSON.stringify({
name: 'Jane Doe',
membership: 'Gold',
joined: '2024-01-15'
}));
await fetch('https://api.zaits.net/v1/face-matching/enroll', {
method: 'POST',
headers: { 'Authorization': 'Bearer YOUR_API_KEY' },
body: formData
});
// Search for returning customer
const searchData = new FormData();
searchData.append('image', customerPhoto);
searchData.append('threshold', '0.65');
searchData.append('limit', '5');
const result = await fetch('https://api.zaits.net/v1/face-matching/search', {
method: 'POST',
headers: { 'Authorization': 'Bearer YOUR_API_KEY' },
body: searchData
}).then(r => r.json());
if (result.matchCount > 0) {
const customer = result.matches[0];
console.log(`Welcome back, ${customer.metadata?.name}!`);
loadLoyaltyInfo(customer.subject_id); // Use subject_id (CUST-789)
}
