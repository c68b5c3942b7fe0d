//! The system calls behind the watcher, through `gpiocdev`.

use std::{thread, time::Duration};

use gpiocdev::{
    Request,
    line::{EdgeDetection, EdgeKind, EventClock, Value},
};
use rustix::{
    event::{PollFd, PollFlags, poll},
    io::Errno,
    time::Timespec,
};

use super::{KernelEdge, Wire};
use crate::{
    door::{
        GpiochipInput,
        chips::{CONSUMER, Selected, Wanted, chips, select},
        lock_error,
    },
    error::Result,
};

/// As many edges of a line are kept by the kernel, and read at once.
const BUFFER: u32 = 64;

/// Where the kernel cannot wait, this is how long we do.
const CANNOT_WAIT: Duration = Duration::from_millis(50);

/// Lines of the kernel's.
pub(super) struct Kernel {
    lines: Vec<(GpiochipInput, Option<Request>)>,
    buffer: Vec<u64>,
}

impl Kernel {
    /// Claims nothing yet.
    pub(super) fn new(lines: Vec<GpiochipInput>) -> Self {
        Self { lines: lines.into_iter().map(|line| (line, None)).collect(), buffer: Vec::new() }
    }

    fn request(&self, line: usize) -> Result<&Request> {
        let request = self.lines.get(line).and_then(|line| line.1.as_ref());
        request.ok_or_else(|| lock_error("the line is not claimed"))
    }
}

fn wanted(settings: &GpiochipInput) -> Wanted<'_> {
    Wanted { chip: &settings.chip, line: &settings.line, active_low: settings.active_low }
}

/// Whether the line is there and free, without claiming it.
pub(in crate::door::inputs) fn probe(settings: &GpiochipInput) -> Result<String> {
    select(&chips(), wanted(settings)).map(|selected| selected.description)
}

fn gone(what: &str, error: gpiocdev::Error) -> crate::error::Error {
    lock_error(format!("the line cannot be {what}"))
        .source(error)
        .help("see that its chip is plugged in and has power; it is claimed again as soon as it is there")
}

impl Wire for Kernel {
    fn claim(&mut self, line: usize) -> Result<String> {
        let Some((settings, request)) = self.lines.get_mut(line) else { return Err(lock_error("no such line")) };
        *request = None;
        let Selected { path, offset, description } = select(&chips(), wanted(settings))?;
        let mut builder = Request::builder();
        builder
            .on_chip(path)
            .with_consumer(CONSUMER)
            .with_kernel_event_buffer_size(BUFFER)
            .with_line(offset)
            .as_input()
            .with_bias(settings.bias.map(gpiocdev::line::Bias::from))
            .with_edge_detection(EdgeDetection::BothEdges)
            .with_event_clock(EventClock::Monotonic);
        if settings.active_low {
            builder.as_active_low();
        }
        let claimed = builder.request().map_err(|error| {
            // Where another program was faster, a second look tells its name.
            let taken = select(&chips(), wanted(settings)).err();
            taken.unwrap_or_else(|| {
                lock_error(format!("{description}: the line cannot be claimed as an input with edges"))
                    .source(error)
                    .help("choose a line whose chip can interrupt and set the resistor of `bias`, or leave `bias` out")
            })
        })?;
        *request = Some(claimed);
        Ok(description)
    }

    fn release(&mut self, line: usize) {
        if let Some(line) = self.lines.get_mut(line) {
            line.1 = None;
        }
    }

    fn wait(&mut self, timeout: Duration) {
        let mut lines: Vec<_> =
            self.lines.iter().filter_map(|line| line.1.as_ref()).map(|line| PollFd::new(line, PollFlags::IN)).collect();
        let timeout = Timespec::try_from(timeout).ok();
        match poll(&mut lines, timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => {
                tracing::debug!(%error, "the input lines cannot be waited for");
                thread::sleep(CANNOT_WAIT);
            }
        }
    }

    fn edges(&mut self, line: usize, into: &mut Vec<KernelEdge>) -> Result<()> {
        let mut buffer = std::mem::take(&mut self.buffer);
        let request = self.request(line)?;
        let size = request.edge_event_u64_size();
        buffer.resize(size * BUFFER as usize, 0);
        // A bouncing line can fill the buffer as fast as it is read; the rest waits for the next round.
        if request.has_edge_event().map_err(|error| gone("waited for", error))? {
            let read = request.read_edge_events_into_slice(&mut buffer).map_err(|error| gone("read", error))?;
            for event in buffer[..read].chunks_exact(size) {
                let event = request.edge_event_from_slice(event).map_err(|error| gone("understood", error))?;
                into.push(KernelEdge {
                    active: event.kind == EdgeKind::Rising,
                    at_ns: event.timestamp_ns,
                    number: event.line_seqno,
                });
            }
        }
        self.buffer = buffer;
        Ok(())
    }

    fn level(&mut self, line: usize) -> Result<bool> {
        let value = self.request(line)?.lone_value().map_err(|error| gone("read", error))?;
        Ok(value == Value::Active)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::door::Line;

    #[test]
    fn without_gpio_the_claim_says_so_and_waiting_ends() {
        let machine = chips();
        if !(machine.readable.is_empty() && machine.forbidden.is_empty() && machine.broken.is_empty()) {
            eprintln!("skipped: this machine has GPIO chips");
            return;
        }
        let settings = GpiochipInput {
            chip: "pinctrl-bcm2711".into(),
            line: Line::Name("GPIO27".into()),
            active_low: true,
            bias: None,
            debounce_ms: 30,
        };
        assert!(probe(&settings).expect_err("none here").message().contains("no GPIO at all"));
        let mut kernel = Kernel::new(vec![settings]);
        assert!(kernel.claim(0).expect_err("none here").message().contains("no GPIO at all"));
        assert!(kernel.level(0).is_err() && kernel.edges(0, &mut Vec::new()).is_err());
        kernel.wait(Duration::from_millis(1));
    }
}
