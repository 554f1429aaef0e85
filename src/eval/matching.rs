//! Which detections of one image match which people: pycocotools' greedy rule.

/// Number of OKS thresholds, 0.50, 0.55 ... 0.95.
pub(super) const THRESHOLDS: usize = 10;

/// The OKS threshold of index `index`, with the rounding of numpy's `linspace(0.5, 0.95, 10)`.
pub(super) fn threshold(index: usize) -> f64 {
    if index + 1 == THRESHOLDS { 0.95 } else { index as f64 * ((0.95 - 0.5) / 9.0) + 0.5 }
}

/// How a detection counts at every threshold, one bit for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Verdict {
    /// It matched a person or a crowd.
    pub(super) matched: u16,
    /// It is not counted, neither as right nor as false.
    pub(super) ignored: u16,
    /// The person that it matched at the lowest threshold.
    pub(super) person: Option<u32>,
}

/// An annotated person, as the rule needs it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Person {
    pub(super) crowd: bool,
    pub(super) ignored: bool,
}

/// Matches detections, best score first, to people. `similarity(d, p)` is their OKS; `out_of_range(d)` tells whether an
/// unmatched detection is to be ignored for its area.
///
/// Every detection takes the most similar free person above the threshold, an ignored one only if there is no other; a crowd
/// is never used up.
pub(super) fn match_image(
    detections: usize,
    people: &[Person],
    similarity: impl Fn(usize, usize) -> f64,
    out_of_range: impl Fn(usize) -> bool,
) -> Vec<Verdict> {
    let mut order: Vec<usize> = (0..people.len()).collect();
    order.sort_by_key(|&person| people[person].ignored);
    let mut verdicts = vec![Verdict::default(); detections];
    let mut taken = vec![false; people.len()];
    for index in 0..THRESHOLDS {
        taken.fill(false);
        let bit = 1 << index;
        for (detection, verdict) in verdicts.iter_mut().enumerate() {
            let mut least = threshold(index).min(1.0 - 1e-10);
            let mut best: Option<usize> = None;
            for &person in &order {
                if taken[person] && !people[person].crowd {
                    continue;
                }
                if people[person].ignored && best.is_some_and(|best| !people[best].ignored) {
                    break;
                }
                let value = similarity(detection, person);
                // An equal one replaces: of equally similar people the last wins.
                if value >= least {
                    least = value;
                    best = Some(person);
                }
            }
            let ignored = match best {
                Some(person) => {
                    taken[person] = true;
                    verdict.matched |= bit;
                    if index == 0 {
                        verdict.person = Some(person as u32);
                    }
                    people[person].ignored
                }
                None => out_of_range(detection),
            };
            if ignored {
                verdict.ignored |= bit;
            }
        }
    }
    verdicts
}

#[cfg(test)]
mod tests {
    use super::*;

    const PERSON: Person = Person { crowd: false, ignored: false };
    const IGNORED: Person = Person { crowd: false, ignored: true };
    const CROWD: Person = Person { crowd: true, ignored: true };
    const ALL: u16 = 0x3ff;

    fn run(people: &[Person], similarity: &[&[f64]]) -> Vec<(u16, u16)> {
        let verdicts = match_image(similarity.len(), people, |d, p| similarity[d][p], |_| false);
        verdicts.into_iter().map(|verdict| (verdict.matched, verdict.ignored)).collect()
    }

    #[test]
    fn thresholds_are_numpys() {
        assert_eq!((threshold(0), threshold(5), threshold(9)), (0.5, 0.75, 0.95));
    }

    #[test]
    fn best_score_chooses_first() {
        assert_eq!(run(&[PERSON], &[&[0.62], &[0.99]]), [(0b111, 0), (ALL & !0b111, 0)]);
    }

    #[test]
    fn an_ignored_person_is_second_choice() {
        assert_eq!(run(&[IGNORED, PERSON], &[&[0.99, 0.52]]), [(ALL, ALL & !1)]);
    }

    #[test]
    fn a_crowd_is_never_used_up_but_an_ignored_person_is() {
        assert_eq!(run(&[CROWD], &[&[1.0], &[1.0]]), [(ALL, ALL), (ALL, ALL)]);
        assert_eq!(run(&[IGNORED], &[&[1.0], &[1.0]]), [(ALL, ALL), (0, 0)]);
    }

    #[test]
    fn unmatched_out_of_range_is_ignored() {
        assert_eq!(match_image(1, &[], |_, _| 0.0, |_| true), [Verdict { matched: 0, ignored: ALL, person: None }]);
    }
}
