//! What it buys to fuse the frames of a track, and the photographs of a person: a measurement, by the networks, templates, quality
//! score and votes that ship. `docs/accuracy.md` has the figures, and what was made of them.

use std::{path::Path, sync::Arc, thread, time::Duration};

use facegate::{
    access::{Decider, Observation, Policy, Sighting, Subject, Track},
    clock::Moment,
    vision::{
        Embedding,
        engine::Engine,
        evaluate::{
            Options,
            bootstrap::{interval, resampled},
            people::People,
            taking::Taken,
        },
        quality::Limits,
    },
};

use super::{
    faces_and_engine,
    frames::{self, FAIR, Light, POOR, Seen},
    photographs,
};

/// False match rates of a whole track, or of a person.
const RATES: [f64; 3] = [1e-3, 1e-4, 1e-5];

/// Frames of a track, and how many of them must agree: a door's own.
fn window() -> (usize, usize) {
    let policy = Policy::default();
    (policy.window as usize, policy.votes as usize)
}

/// So many times the impostors that the highest rate lets match are kept: a resample may have others.
const SPARE: f64 = 10.0;

#[test]
#[ignore = "takes minutes, and is a measurement: run it before votes, window or a door's template are changed"]
fn what_the_fusion_of_frames_and_of_enrolments_buys() {
    let Some((frames, engine)) = faces_and_engine("door") else { return };
    let (people, taken) = photographs(&engine, &frames, &Options { threads: 2, ..Options::default() });
    let mut votes_against_one = Vec::new();
    let mut frames = Vec::new();
    for light in [FAIR, POOR] {
        let tracks = tracks(&engine, &people, light);
        votes_against_one.push(of_a_track(&people, &taken, light, &tracks));
        frames.extend(misses(&taken, &tracks, engine.calibration().cosine));
    }
    discarded_by_quality(frames);
    of_enrolments(&people, &taken);
    // What ships must pay for itself: two of three frames that agree miss no more than one frame does, and fewer where frames are poor.
    let [[fair, _], [_, poor]] = votes_against_one[..] else { panic!("two lights") };
    assert!(fair <= 0.0, "votes miss more than one frame does, by {fair:.4} at least");
    assert!(poor < 0.0, "votes buy nothing in poor light: {poor:.4} at most");
}

/// Three frames of each photograph; none where a face is missed in one of them.
fn tracks(engine: &Arc<Engine>, people: &People, light: Light) -> Vec<Option<Vec<Seen>>> {
    let (window, _) = window();
    let numbered: Vec<(usize, &Path)> = people.pictures.iter().map(|picture| &*picture.path).enumerate().collect();
    let work = |part: &[(usize, &Path)]| {
        let mut session = engine.session().expect("a session");
        let each = part.iter().map(|&(number, path)| {
            frames::apart(&mut session, path, light, number as u64, window as u64).into_iter().collect()
        });
        each.collect::<Vec<Option<Vec<Seen>>>>()
    };
    let (one, other) = numbered.split_at(numbered.len() / 2);
    thread::scope(|scope| {
        let workers = [one, other].map(|part| scope.spawn(move || work(part)));
        workers.into_iter().flat_map(|worker| worker.join().expect("a worker ends")).collect()
    })
}

/// A comparison of two people or of one: who is enrolled, who comes, how alike.
type Score = (usize, usize, f32);

/// All comparisons by one way of fusing.
struct Scores {
    genuine: Vec<Score>,
    /// Those that come nearest to matching, the highest first.
    impostors: Vec<Score>,
    /// Of each person: how many are enrolled, and how many come.
    enrolled: Vec<f64>,
    coming: Vec<f64>,
}

impl Scores {
    fn of(people: usize, all: impl Iterator<Item = Score>, enrolled: &[usize], coming: &[usize]) -> Self {
        let count = |each: &[usize]| {
            let mut counts = vec![0.0; people];
            each.iter().for_each(|&person| counts[person] += 1.0);
            counts
        };
        let (genuine, mut impostors): (Vec<Score>, Vec<Score>) =
            all.partition(|(enrolled, comes, _)| enrolled == comes);
        let kept = ((impostors.len() as f64 * RATES[0] * SPARE) as usize).clamp(1, impostors.len());
        impostors.select_nth_unstable_by(kept - 1, |a, b| b.2.total_cmp(&a.2));
        impostors.truncate(kept);
        impostors.sort_by(|a, b| b.2.total_cmp(&a.2));
        Self { genuine, impostors, enrolled: count(enrolled), coming: count(coming) }
    }

    /// The threshold and the FNMR at each rate, where each person counts as often as the weight says.
    fn at_rates(&self, weights: &[f64]) -> [(f32, f64); 3] {
        let sum = |counts: &[f64]| counts.iter().zip(weights).map(|(count, weight)| count * weight).sum::<f64>();
        let themselves = |at: usize| self.enrolled[at] * self.coming[at] * weights[at] * weights[at];
        let all = sum(&self.enrolled) * sum(&self.coming) - (0..weights.len()).map(themselves).sum::<f64>();
        RATES.map(|rate| {
            let mut matched = 0.0;
            let over = self.impostors.iter().find(|(enrolled, comes, _)| {
                matched += weights[*enrolled] * weights[*comes];
                matched > rate * all
            });
            let threshold = over.map_or(f32::NAN, |(.., score)| score.next_up());
            let (missed, of) = self.genuine.iter().fold((0.0, 0.0), |(missed, of), &(person, _, score)| {
                (missed + if score < threshold { weights[person] } else { 0.0 }, of + weights[person])
            });
            (threshold, if threshold.is_nan() { f64::NAN } else { missed / of })
        })
    }

    fn fnmrs(&self) -> [f64; 3] {
        self.at_rates(&vec![1.0; self.enrolled.len()]).map(|(_, fnmr)| fnmr)
    }

    fn resampled(&self) -> Vec<[f64; 3]> {
        resampled(2, self.enrolled.len(), |weights| self.at_rates(weights).map(|(_, fnmr)| fnmr))
    }
}

/// Prints what each way to fuse a track's frames misses, and how far it is from what ships. Gives the 95 % interval of what votes miss
/// less what one frame misses, at the middle one of the rates.
fn of_a_track(people: &People, taken: &[Taken], light: Light, tracks: &[Option<Vec<Seen>>]) -> [f64; 2] {
    let count = people.names.len();
    let whole: Vec<(usize, &Vec<Seen>)> =
        tracks.iter().enumerate().filter_map(|(number, track)| Some((number, track.as_ref()?))).collect();
    let frames: Vec<&Seen> = whole.iter().flat_map(|(_, track)| *track).collect();
    let refused = frames.iter().filter(|frame| !frame.passes).count() as f64 / frames.len() as f64;
    eprintln!(
        "{}: {} tracks of {}; a door's gate refuses {:.1} % of their frames",
        light.name,
        whole.len(),
        tracks.len(),
        100.0 * refused
    );
    let enrolled: Vec<usize> = taken.iter().map(|one| one.subject).collect();
    let coming: Vec<usize> = whole.iter().map(|(number, _)| taken[*number].subject).collect();
    // Each track with every photograph but the one that it was made of.
    let compared = |score: &dyn Fn(&Embedding, usize) -> f32| {
        let all = whole.iter().enumerate().flat_map(|(at, (number, _))| {
            let others = taken.iter().enumerate().filter(move |(other, _)| other != number);
            others.map(move |(_, one)| {
                let template = &one.templates.as_ref().expect("every photograph has one").enrolled;
                (one.subject, taken[*number].subject, score(template, at))
            })
        });
        Scores::of(count, all, &enrolled, &coming)
    };
    let (_, votes) = window();
    let cosines = |template: &Embedding, at: usize| -> Vec<f32> {
        let mut all: Vec<f32> = whole[at].1.iter().map(|frame| template.cosine(&frame.embedding)).collect();
        all.sort_by(|a, b| b.total_cmp(a));
        all
    };
    let mean = |weight: fn(&Seen) -> f32| -> Vec<Embedding> {
        whole.iter().map(|(_, track)| weighted(track, weight)).collect()
    };
    let (plain, by_quality) = (mean(|_| 1.0), mean(|frame| frame.score));
    let one = compared(&|template, at| template.cosine(&whole[at].1[0].embedding));
    let agree = compared(&|template, at| cosines(template, at)[votes - 1]);
    let ways = [
        ("one frame alone", &one),
        ("votes: what the door does", &agree),
        ("the mean of the templates", &compared(&|template, at| template.cosine(&plain[at]))),
        ("… weighted by the quality score", &compared(&|template, at| template.cosine(&by_quality[at]))),
    ];
    assert_votes_are_the_door_s(&agree, &whole, taken);
    let ships = agree.resampled();
    for (name, scores) in ways {
        let found = scores.fnmrs();
        let apart = scores.resampled();
        let each: Vec<String> = (0..RATES.len())
            .map(|at| {
                let [low, high] = interval_of_differences(&apart, &ships, at);
                format!("{:.2} % (less what ships: {:+.2} to {:+.2})", 100.0 * found[at], 100.0 * low, 100.0 * high)
            })
            .collect();
        eprintln!("  {name}: {}", each.join(", "));
    }
    interval_of_differences(&ships, &one.resampled(), 1)
}

fn interval_of_differences(of: &[[f64; 3]], less: &[[f64; 3]], at: usize) -> [f64; 2] {
    interval(of.iter().zip(less).map(|(of, less)| of[at] - less[at]))
}

/// The mean template of a track.
fn weighted(track: &[Seen], weight: fn(&Seen) -> f32) -> Embedding {
    let mut sum = [0.0; facegate::vision::DIMENSION];
    for frame in track {
        let weight = weight(frame);
        sum.iter_mut().zip(frame.embedding.as_slice()).for_each(|(sum, value)| *sum += weight * value);
    }
    Embedding::normalised(&sum).expect("frames of one face are alike")
}

/// The door's own decider grants those comparisons of one person, and no others, whose score by votes reaches the threshold: it is the
/// door that is measured here.
fn assert_votes_are_the_door_s(scores: &Scores, whole: &[(usize, &Vec<Seen>)], taken: &[Taken]) {
    let (threshold, _) = scores.at_rates(&vec![1.0; scores.enrolled.len()])[1];
    // Cosines in the place of similarities: the decider compares numbers.
    let policy = Policy { threshold, ..Policy::default() };
    let mut granted = 0;
    for (number, track) in whole {
        let himself =
            taken.iter().enumerate().filter(|(other, one)| other != number && one.subject == taken[*number].subject);
        for (_, one) in himself {
            let template = &one.templates.as_ref().expect("every photograph has one").enrolled;
            let mut decider = Decider::new(policy.clone());
            let opened = track.iter().zip(1..).any(|(frame, at)| {
                let similarity = template.cosine(&frame.embedding);
                let sighting = Sighting::Match { subject: Subject::from("himself"), similarity, runner_up: None };
                let at = Moment::from_start(Duration::from_millis(100 * at));
                let decision = decider.observe(Observation { track: Track(1), sighting, living: None, at });
                decision.is_some_and(|decision| decision.granted())
            });
            granted += usize::from(opened);
        }
    }
    assert_eq!(granted, scores.genuine.iter().filter(|(.., score)| *score >= threshold).count());
}

/// A frame: the quality score, how often it is not like another photograph of its person, of how many.
type Missed = (f32, usize, usize);

fn misses(taken: &[Taken], tracks: &[Option<Vec<Seen>>], cosine: f32) -> Vec<Missed> {
    let mut all = Vec::new();
    for (number, track) in tracks.iter().enumerate() {
        for frame in track.iter().flatten() {
            let himself = taken
                .iter()
                .enumerate()
                .filter(|(other, one)| *other != number && one.subject == taken[number].subject);
            let alike = himself.map(|(_, one)| {
                one.templates.as_ref().expect("every photograph has one").enrolled.cosine(&frame.embedding) >= cosine
            });
            let alike: Vec<bool> = alike.collect();
            all.push((frame.score, alike.iter().filter(|alike| !**alike).count(), alike.len()));
        }
    }
    all
}

/// Prints the error against discard of the quality score, over the frames in both lights, and what a door's limit makes of it. Fails
/// where it does not tell bad frames from good ones.
fn discarded_by_quality(mut frames: Vec<Missed>) {
    frames.retain(|(.., of)| *of > 0);
    frames.sort_by(|a, b| a.0.total_cmp(&b.0));
    let share = |frames: &[Missed]| {
        let (missed, of) = frames.iter().fold((0, 0), |(missed, of), frame| (missed + frame.1, of + frame.2));
        missed as f64 / of as f64
    };
    let at = |discarded: f64| {
        let from = (discarded * frames.len() as f64) as usize;
        (frames[from].0, share(&frames[from..]))
    };
    for discarded in [0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5] {
        let (score, missed) = at(discarded);
        eprintln!(
            "{:.0} % of the frames discarded, score {score:.2} and above: {:.1} % missed",
            100.0 * discarded,
            100.0 * missed
        );
    }
    let limit = Limits::door().score;
    let passes = frames.partition_point(|frame| frame.0 < limit);
    let (below, above) = (share(&frames[..passes]), share(&frames[passes..]));
    eprintln!("a door's limit {limit}: {:.1} % missed below it, {:.1} % above", 100.0 * below, 100.0 * above);
    assert!(at(0.2).1 < 0.8 * at(0.0).1, "the score does not tell which frames are missed");
    assert!(below > 2.0 * above, "a door's limit is in the wrong place");
}

/// Prints what a person's second and third photograph buy, by the way in which they are put together.
fn of_enrolments(people: &People, taken: &[Taken]) {
    let count = people.names.len();
    let mut of_person: Vec<Vec<&Taken>> = vec![Vec::new(); count];
    taken.iter().for_each(|one| of_person[one.subject].push(one));
    for photographs in [2, 3] {
        // Whoever has one more photograph than are enrolled, to be looked for with.
        let known: Vec<usize> = (0..count).filter(|&person| of_person[person].len() > photographs).collect();
        let kept = |person: usize| of_person[person][..photographs].iter();
        let template = |one: &&Taken| one.templates.as_ref().expect("every photograph has one").enrolled.clone();
        let enrolled: Vec<Vec<Embedding>> = known.iter().map(|&person| kept(person).map(template).collect()).collect();
        let means: Vec<Embedding> =
            enrolled.iter().map(|all| Embedding::mean(all).expect("photographs of one person are alike")).collect();
        let is_known = |person: usize| known.binary_search(&person).is_ok();
        let probes: Vec<&Taken> = (0..count)
            .flat_map(|person| of_person[person].iter().skip(if is_known(person) { photographs } else { 0 }).copied())
            .collect();
        let coming: Vec<usize> = probes.iter().map(|one| one.subject).collect();
        let compared = |score: &dyn Fn(usize, &Embedding) -> f32| {
            let all = probes.iter().flat_map(|one| {
                let probe = &one.templates.as_ref().expect("every photograph has one").probe;
                known.iter().enumerate().map(move |(at, &person)| (person, one.subject, score(at, probe)))
            });
            Scores::of(count, all, &known, &coming)
        };
        let best = |at: usize, probe: &Embedding| enrolled[at].iter().map(|one| one.cosine(probe)).fold(-1.0, f32::max);
        let ways = [
            ("one of them", compared(&|at, probe| enrolled[at][0].cosine(probe))),
            ("the best of them: what is done", compared(&best)),
            ("their mean template", compared(&|at, probe| means[at].cosine(probe))),
        ];
        eprintln!(
            "{photographs} photographs each: {} people, {} genuine comparisons",
            known.len(),
            ways[0].1.genuine.len()
        );
        for (name, scores) in ways {
            let [at_1e_3, at_1e_4, _] = scores.fnmrs().map(|fnmr| 100.0 * fnmr);
            eprintln!("  {name}: {at_1e_3:.2} %, {at_1e_4:.2} %");
        }
    }
}
