//! Images that a deployment shares.

use trireme_rpc::agent::ImagePin;

use super::*;
use crate::runtime::Pin;

fn image(number: u8) -> Image {
    Image::of(Pin::Manifest(format!("sha256:{number}")))
}

fn pin(number: u8) -> ImagePin {
    ImagePin { manifest_digest: format!("sha256:{number}"), image_id: String::new() }
}

fn with_pin(pin: Option<ImagePin>) -> Arc<AssignedTask> {
    let mut task = (*spec(&[true], &Needs::new(), &[], false)).clone();
    task.containers[0].image = "app:1".to_owned();
    task.containers[0].pin = pin;
    Arc::new(task)
}

/// The machine asks for its image, and gets this one.
fn pull(machine: &mut Machine, got: Image) {
    assert_eq!(machine.step(1, 1), Move::Do(Operation::Pull, 0));
    machine.answer(0, Answer::Pulled(Ok(got)), 1, 1);
}

#[test]
fn who_finds_what_nobody_has_chosen_says_so_and_waits() {
    let mut machine = Machine::new(with_pin(Some(ImagePin::default())), &[]);
    pull(&mut machine, image(1));
    assert_eq!(machine.step(2, 2), Move::Wait);
    let report = machine.take_news().expect("it tells before it runs");
    assert_eq!((report.status(), report.containers[0].found.clone()), (TaskStatus::Pending, Some(pin(1))));
    assert_eq!(machine.take_news(), None);
    // The answer got lost, and it is asked again.
    machine.choose_images(&with_pin(Some(ImagePin::default())));
    assert!(machine.take_news().is_some());

    machine.choose_images(&with_pin(Some(pin(1))));
    assert_eq!(machine.step(3, 3), Move::Do(Operation::Create, 0));
    assert_eq!(machine.image_name(0).exact(), "app:1@sha256:1");
    machine.choose_images(&with_pin(Some(pin(2))));
    assert_eq!(machine.image_name(0).exact(), "app:1@sha256:1", "what was chosen stays");
}

#[test]
fn who_found_another_one_gets_the_one_that_was_chosen() {
    let mut machine = Machine::new(with_pin(Some(ImagePin::default())), &[]);
    pull(&mut machine, image(1));
    machine.choose_images(&with_pin(Some(pin(2))));
    assert_eq!(machine.image_name(0).exact(), "app:1@sha256:2");
    pull(&mut machine, image(2));
    assert_eq!(machine.step(2, 2), Move::Do(Operation::Create, 0));
}

#[test]
fn a_choice_during_the_pull_counts() {
    for (found, next) in [(1, Operation::Create), (2, Operation::Pull)] {
        let mut machine = Machine::new(with_pin(Some(ImagePin::default())), &[]);
        assert_eq!(machine.step(1, 1), Move::Do(Operation::Pull, 0));
        machine.choose_images(&with_pin(Some(pin(1))));
        machine.answer(0, Answer::Pulled(Ok(image(found))), 1, 1);
        assert_eq!(machine.step(2, 2), Move::Do(next, 0));
    }
}

#[test]
fn nobody_waits_for_what_is_chosen_or_free() {
    for given in [Some(pin(1)), None] {
        let mut machine = Machine::new(with_pin(given), &[]);
        pull(&mut machine, image(1));
        assert_eq!(machine.take_news(), None);
        assert_eq!(machine.step(2, 2), Move::Do(Operation::Create, 0));
        assert_eq!(machine.image_name(0).exact(), "app:1@sha256:1", "what was pulled is what runs");
    }
}

#[test]
fn a_task_that_waits_can_be_stopped() {
    let mut machine = Machine::new(with_pin(Some(ImagePin::default())), &[]);
    pull(&mut machine, image(1));
    machine.want(Wanted::Stopped);
    assert_eq!(machine.step(2, 2), Move::Wait);
    assert_eq!(machine.status(), TaskStatus::Stopped);
}

#[test]
fn a_pull_that_takes_long_is_told_of_while_it_goes_on() {
    let mut machine = Machine::new(with_pin(None), &[]);
    assert_eq!(machine.step(7, 1), Move::Do(Operation::Pull, 0));
    assert_eq!(machine.take_news(), None);
    machine.tell_slow_pull();
    let report = machine.take_news().expect("it began");
    assert_eq!(
        (report.status(), report.pull_started_at, report.pull_stopped_at),
        (TaskStatus::Pending, 7, 0)
    );
    machine.answer(0, Answer::Pulled(Ok(image(1))), 9, 1);
    assert_eq!(machine.take_news().map(|report| report.pull_stopped_at), Some(9));
    machine.tell_slow_pull();
    assert_eq!(machine.take_news(), None);
}

/// What happens to one of the agents next.
#[derive(Debug, Clone, Copy)]
enum Event {
    /// Its pull ends.
    Answer,
    /// Its report arrives.
    Report,
    /// It is told what the control plane knows, for the first time or again.
    Tell,
    /// It is restarted.
    Restart,
}

/// One task of the deployment, on an agent for which the tag means this image.
struct Agent {
    machine: Machine,
    means: u8,
    open: Option<Operation>,
    outbox: Option<ImagePin>,
    made_from: Option<String>,
}

impl Agent {
    fn new(means: u8, known: Option<&ImagePin>) -> Self {
        let machine = Machine::new(with_pin(Some(known.cloned().unwrap_or_default())), &[]);
        Self { machine, means, open: None, outbox: None, made_from: None }
    }

    fn happens(&mut self, event: Event, chosen: &mut Option<ImagePin>) {
        match event {
            Event::Answer if self.open.take() == Some(Operation::Pull) => {
                let pin = self.machine.image_name(0).pin;
                let got = pin.map_or_else(|| image(self.means), Image::of);
                self.machine.answer(0, Answer::Pulled(Ok(got)), 1, 1);
            }
            Event::Report => {
                let said = self.outbox.take();
                *chosen = chosen.take().or(said);
            }
            Event::Tell => {
                self.machine.choose_images(&with_pin(Some(chosen.clone().unwrap_or_default())));
            }
            Event::Restart if self.made_from.is_none() => *self = Self::new(self.means, chosen.as_ref()),
            Event::Answer | Event::Restart => {}
        }
        if self.open.is_none()
            && let Move::Do(operation, 0) = self.machine.step(1, 1)
        {
            self.open = Some(operation);
            if operation == Operation::Create {
                self.made_from = Some(self.machine.image_name(0).exact());
            }
        }
        if let Some(report) = self.machine.take_news() {
            self.outbox = report.containers[0].found.clone().or(self.outbox.take());
        }
    }
}

proptest! {
    #[test]
    fn all_make_their_containers_from_one_image(
        means in proptest::collection::vec(1_u8..4, 2..4),
        events in proptest::collection::vec((any::<usize>(), 0_usize..4), 0..60),
    ) {
        let mut chosen = None;
        let mut agents: Vec<Agent> = means.iter().map(|means| Agent::new(*means, None)).collect();
        let count = agents.len();
        let fair = (0..30).flat_map(|_| (0..count).flat_map(|at| (0..3).map(move |event| (at, event))));
        for (at, event) in events.into_iter().chain(fair) {
            let event = [Event::Answer, Event::Report, Event::Tell, Event::Restart][event];
            agents[at % count].happens(event, &mut chosen);
        }
        let chosen = chosen.expect("somebody said what it is");
        for agent in agents {
            prop_assert_eq!(agent.made_from, Some(format!("app:1@{}", chosen.manifest_digest)));
        }
    }
}
