use std::{collections::BTreeMap, rc::Rc, sync::Arc};

use facegate_fleet::{
    Now,
    open::{Body, Opened, Opener},
    sync::Publish,
    topic::Topic,
};

use super::door::Traffic;

/// A message, opened once for all who receive it: that is the one thing that a simulated door does not do itself.
pub struct Message {
    pub opened: Vec<Opened>,
    pub bytes: usize,
}

/// A broker that keeps the newest message of each topic.
pub struct Broker {
    opener: Opener,
    documents: Vec<Option<Rc<Message>>>,
    others: BTreeMap<String, Rc<Message>>,
    /// Each door subscribes to its own alone.
    receipts: BTreeMap<String, BTreeMap<String, Rc<Message>>>,
    /// Messages that nobody believed.
    pub refused: u64,
    pub received: Traffic,
    pub sent: Traffic,
}

impl Broker {
    pub fn new(opener: Opener, documents: usize) -> Self {
        Self {
            opener,
            documents: vec![None; documents],
            others: BTreeMap::new(),
            receipts: BTreeMap::new(),
            refused: 0,
            received: Traffic::default(),
            sent: Traffic::default(),
        }
    }

    /// Opens a message and keeps it; `None` where it is not to be believed.
    pub fn take(&mut self, publish: &Publish, place: Option<usize>, now: Now) -> Option<Rc<Message>> {
        let bytes = publish.topic.len() + publish.payload.len() + 7;
        self.received.count(bytes);
        let Ok(opened) = self.opener.open(&publish.topic, &publish.payload, now) else {
            self.refused += 1;
            return None;
        };
        if let Body::Voucher(vouched) = &opened.body {
            Arc::make_mut(&mut self.opener.registry).take(Arc::clone(vouched));
        }
        let receipt = match &opened.topic {
            Topic::Receipt(door, _) => Some(door.to_string()),
            _ => None,
        };
        let message = Rc::new(Message { opened: vec![opened], bytes });
        match (place, receipt) {
            (Some(place), _) => self.documents[place] = Some(Rc::clone(&message)),
            (None, Some(door)) => {
                self.receipts.entry(door).or_default().insert(publish.topic.clone(), Rc::clone(&message));
            }
            (None, None) => {
                self.others.insert(publish.topic.clone(), Rc::clone(&message));
            }
        }
        Some(message)
    }

    /// All that it keeps for a door: what is not a document first.
    pub fn kept(&self, door: &str) -> Vec<Rc<Message>> {
        let receipts = self.receipts.get(door).into_iter().flat_map(BTreeMap::values);
        self.others.values().chain(receipts).chain(self.documents.iter().flatten()).cloned().collect()
    }

    /// What it keeps in one bucket.
    pub fn kept_in(&self, bucket: u8, bucket_of: impl Fn(usize) -> u8) -> Vec<Rc<Message>> {
        let documents = self.documents.iter().enumerate().filter(|(place, _)| bucket_of(*place) == bucket);
        documents.filter_map(|(_, message)| message.clone()).collect()
    }

    /// Kept documents, and their bytes.
    pub fn size(&self) -> (usize, u64) {
        let kept = self.documents.iter().flatten();
        (kept.clone().count(), kept.map(|message| message.bytes as u64).sum())
    }
}
