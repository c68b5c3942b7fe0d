// Enroll ticket holder during purchase
const formData = new FormData();
formData.append('subject_id', 'TICKET-12345'); // Ticket number
formData.append('image', ticketHolderPhoto);
formData.append('metadata', JSON.stringify({
event: 'Concert 2024',
section: 'VIP',
seat: 'A-15'
}));
await fetch('https://api.zaits.net/v1/face-matching/enroll', {
method: 'POST',
headers: { 'Authorization': 'Bearer YOUR_API_KEY' },
body: formData
});
// Verify at entrance (1:1 verification)
const verifyData = new FormData();
verifyData.append('image', livePhoto);
verifyData.append('threshold', '0.7');
const verification = await fetch(
'https://api.zaits.net/v1/face-matching/verify/TICKET-12345',
{
method: 'POST',
headers: { 'Authorization': 'Bearer YOUR_API_KEY' },
body: verifyData
}
).then(r => r.json());
if (verification.verified) {
checkInAttendee('TICKET-12345');
console.log('✅ Entry granted - ticket verified');
} else {
console.log('❌ Entry denied - face does not match ticket holder');
}
