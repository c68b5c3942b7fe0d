const formData = new FormData();
formData.append('image', file);
formData.append('threshold', '0.7');
formData.append('limit', '5');
const response = await fetch('https://api.zaits.net/v1/face-matching/search', {
method: 'POST',
headers: {
'Authorization': 'Bearer YOUR_API_KEY'
},
body: formData
});
const result = await response.json();
// Process matches
if (result.matchCount > 0) {
const topMatch = result.matches[0];
console.log(`Match found: ${topMatch.user_name}`);
console.log(`Confidence: ${(topMatch.similarity * 100).toFixed(1)}%`);
console.log(`Email: ${topMatch.user_email}`);
}
