//! A wire between doors and their broker, which can be cut, can fall silent without being cut, and can be slow. It reads
//! nothing of what passes: that is TLS.

use std::{
    io::{ErrorKind, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

/// How often a wire looks what is to become of it.
const LOOK: Duration = Duration::from_millis(10);

const OPEN: u8 = 0;
const STALLED: u8 = 1;
const CUT: u8 = 2;

#[derive(Default)]
struct State {
    mode: AtomicU8,
    /// Connections from before carry nothing any more, and nobody is told: as a router that forgot them.
    forgotten: AtomicU64,
    delay_ms: AtomicU64,
    ends: AtomicBool,
    /// Bytes to the broker, without the headers of TCP and IP, and how many times some were read.
    to: AtomicU64,
    pieces: AtomicU64,
    begun: Mutex<Vec<Instant>>,
}

/// A wire, until it is dropped.
pub struct Proxy {
    pub port: u16,
    state: Arc<State>,
}

impl Proxy {
    /// Before a port of this machine.
    pub fn before(broker: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.set_nonblocking(true).expect("a socket");
        let port = listener.local_addr().expect("an address").port();
        let state = Arc::<State>::default();
        let wires = Arc::clone(&state);
        thread::spawn(move || {
            while !wires.ends.load(Relaxed) {
                match listener.accept() {
                    Ok((door, _)) => accept(door, broker, &wires),
                    Err(_) => thread::sleep(LOOK),
                }
            }
        });
        Self { port, state }
    }

    /// Everything passes again.
    pub fn mend(&self) {
        self.state.delay_ms.store(0, Relaxed);
        self.state.mode.store(OPEN, Relaxed);
    }

    /// Connections end, and no new one comes about.
    pub fn cut(&self) {
        self.state.mode.store(CUT, Relaxed);
    }

    /// Nothing passes, and nobody is told.
    pub fn stall(&self) {
        self.state.mode.store(STALLED, Relaxed);
    }

    /// What is connected now never hears anything again, and is not told; what connects from now on works.
    pub fn forget(&self) {
        self.state.forgotten.fetch_add(1, Relaxed);
    }

    /// Everything takes so long in each direction.
    pub fn slow(&self, delay: Duration) {
        self.state.delay_ms.store(delay.as_millis() as u64, Relaxed);
    }

    /// Bytes that doors sent so far, without headers of TCP and IP, and in how many pieces.
    pub fn sent(&self) -> (u64, u64) {
        (self.state.to.load(Relaxed), self.state.pieces.load(Relaxed))
    }

    /// When doors tried to connect.
    pub fn tried(&self) -> Vec<Instant> {
        self.state.begun.lock().clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.state.ends.store(true, Relaxed);
        self.cut();
    }
}

fn accept(door: TcpStream, broker: u16, state: &Arc<State>) {
    state.begun.lock().push(Instant::now());
    if state.mode.load(Relaxed) == CUT {
        return;
    }
    let Ok(broker) = TcpStream::connect(("127.0.0.1", broker)) else { return };
    let born = state.forgotten.load(Relaxed);
    for stream in [&door, &broker] {
        stream.set_nonblocking(false).and_then(|()| stream.set_nodelay(true)).expect("a socket");
        stream.set_read_timeout(Some(LOOK)).expect("a socket");
    }
    let copies = (door.try_clone().expect("a socket"), broker.try_clone().expect("a socket"));
    let (up, down) = (Arc::clone(state), Arc::clone(state));
    thread::spawn(move || carry(door, broker, &up, born, true));
    thread::spawn(move || carry(copies.1, copies.0, &down, born, false));
}

/// Carries bytes one way until either side, or the wire, ends.
fn carry(mut from: TcpStream, mut to: TcpStream, state: &State, born: u64, up: bool) {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let mode = state.mode.load(Relaxed);
        if mode == CUT || state.ends.load(Relaxed) {
            break;
        }
        if mode == STALLED || state.forgotten.load(Relaxed) != born {
            thread::sleep(LOOK);
            continue;
        }
        let count = match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => continue,
            Err(_) => break,
        };
        if up {
            state.to.fetch_add(count as u64, Relaxed);
            state.pieces.fetch_add(1, Relaxed);
        }
        thread::sleep(Duration::from_millis(state.delay_ms.load(Relaxed)));
        if to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    // The other direction ends with it.
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}
