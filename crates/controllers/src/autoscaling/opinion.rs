//! What several policies come to.

use trireme_state::object::{HeldScaling, ScalableTargetSpec};
use trireme_types::planted;

/// What one policy wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Opinion {
    pub policy: String,
    pub wants: Wants,
}

/// More, fewer, or as many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wants {
    /// So many, more than there are, and why.
    More(u32, String),
    /// So many are enough, fewer than there are, and why.
    Fewer(u32, String),
    /// None is to be taken away: as many are needed, it is not known, or it cools down.
    AsMany,
    /// It has nothing to say: others may take tasks away.
    Nothing,
}

/// What is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    Stay,
    /// Another desired count.
    Scale {
        to: u32,
        policy: String,
        why: String,
    },
    /// Tasks are wanted that must not be.
    Held {
        held: HeldScaling,
        why: String,
    },
}

/// The largest wins; tasks are taken away only when everyone with a say agrees. The bounds hold in any case.
pub(super) fn verdict(
    opinions: Vec<Opinion>,
    target: &ScalableTargetSpec,
    desired: u32,
    deploying: bool,
) -> Verdict {
    let most = opinions.iter().filter_map(|one| match &one.wants {
        Wants::More(to, why) => Some((*to, &one.policy, why)),
        _ => None,
    });
    // Of equals the first by name.
    if let Some((wanted, policy, why)) = most.reduce(|one, other| if other.0 > one.0 { other } else { one }) {
        return more(wanted, policy, why, target, desired);
    }
    let agreed = opinions.iter().all(|one| one.wants != Wants::AsMany);
    let most = opinions.into_iter().filter_map(|one| match one.wants {
        Wants::Fewer(to, why) => Some((to, one.policy, why)),
        _ => None,
    });
    let Some((enough, policy, why)) = most.reduce(|one, other| if other.0 > one.0 { other } else { one })
    else {
        return Verdict::Stay;
    };
    let to = enough.clamp(target.min, target.max);
    if !agreed || deploying || target.suspended.scale_in || to >= desired {
        return Verdict::Stay;
    }
    Verdict::Scale { to, policy, why }
}

fn more(wanted: u32, policy: &str, why: &str, target: &ScalableTargetSpec, desired: u32) -> Verdict {
    let beyond = planted::is("scaled-beyond-the-maximum");
    let to = wanted.clamp(target.min, if beyond { u32::MAX } else { target.max });
    if to <= desired {
        let why = format!("policy {policy} wants more than the maximum of {} tasks", target.max);
        return Verdict::Held { held: HeldScaling::AtMaximum, why };
    }
    if target.suspended.scale_out {
        let why = format!("policy {policy} wants more than {desired} tasks, and scaling out is suspended");
        return Verdict::Held { held: HeldScaling::Suspended, why };
    }
    Verdict::Scale { to, policy: policy.to_owned(), why: why.to_owned() }
}

#[cfg(test)]
mod tests {
    use trireme_state::object::SuspendedScaling;

    use super::*;

    fn opinion(policy: &str, wants: Wants) -> Opinion {
        Opinion { policy: policy.to_owned(), wants }
    }

    fn more(to: u32) -> Wants {
        Wants::More(to, "busy".to_owned())
    }

    fn fewer(to: u32) -> Wants {
        Wants::Fewer(to, "idle".to_owned())
    }

    fn to(opinions: &[Wants], desired: u32, deploying: bool) -> Option<u32> {
        let target =
            ScalableTargetSpec { min: 2, max: 10, suspended: SuspendedScaling::default(), role_arn: None };
        let opinions = opinions.iter().map(|wants| opinion("p", wants.clone())).collect();
        match verdict(opinions, &target, desired, deploying) {
            Verdict::Scale { to, .. } => Some(to),
            Verdict::Stay | Verdict::Held { .. } => None,
        }
    }

    #[test]
    fn the_largest_wins_within_the_bounds() {
        assert_eq!(to(&[more(5), more(7), fewer(1)], 4, false), Some(7));
        assert_eq!(to(&[more(50)], 4, true), Some(10));
        assert_eq!(to(&[more(50)], 10, false), None);
        assert_eq!(to(&[more(1)], 0, false), Some(2), "up to the minimum at least");
    }

    #[test]
    fn tasks_are_taken_away_when_everyone_agrees_and_nothing_is_deployed() {
        assert_eq!(to(&[fewer(3), fewer(5)], 8, false), Some(5));
        assert_eq!(to(&[fewer(3), Wants::Nothing], 8, false), Some(3));
        assert_eq!(to(&[fewer(3), Wants::AsMany], 8, false), None);
        assert_eq!(to(&[fewer(3)], 8, true), None);
        assert_eq!(to(&[fewer(0)], 8, false), Some(2));
        assert_eq!(to(&[fewer(0)], 1, false), None, "what someone set below the minimum stays");
        assert_eq!(
            to(&[fewer(15)], 20, false),
            Some(10),
            "what someone set above the maximum comes down to it"
        );
    }
}
