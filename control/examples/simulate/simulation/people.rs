//! Where everybody really is, whether or not a door has seen them go there.

use super::{
    house::{PEOPLE, Side},
    random::Random,
};

#[derive(Debug, Default)]
pub struct People {
    really: [Side; PEOPLE],
}

impl People {
    /// Somebody turns up before a door: mostly one who is there, now and then one who cannot be, as by a photograph.
    pub fn turns_up(&self, side: Side, random: &mut Random) -> usize {
        let anybody = random.within(0, PEOPLE as u64) as usize;
        if random.percent(20) {
            return anybody;
        }
        let mut others = (0..PEOPLE).map(|step| (anybody + step) % PEOPLE);
        others.find(|&who| self.really[who] == side).unwrap_or(anybody)
    }

    /// Somebody goes through a door that opened for them, and now and then another one behind them.
    pub fn pass(&mut self, who: usize, (from, to): (Side, Side), random: &mut Random) {
        self.really[who] = to;
        if random.percent(10) {
            self.slip(from, to, random);
        }
    }

    /// Somebody whom nothing sees goes through a door that stands open.
    pub fn slip(&mut self, from: Side, to: Side, random: &mut Random) {
        let who = random.within(0, PEOPLE as u64) as usize;
        if self.really[who] == from {
            self.really[who] = to;
        }
    }
}
