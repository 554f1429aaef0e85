//! IDF1 and switches over the people that were found.

use std::collections::HashMap;

/// Identities against people, over all poses of a scene.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Identification {
    /// 2 IDTP / (poses of people + poses with an identity) (Ristani et al., 2016).
    pub idf1: f64,
    /// Times that a person's identity changed from one pose with an identity to the next.
    pub switches: usize,
}

/// Measures pairs of (person, identity), one per pose, in order of time.
pub fn identification(pairs: &[(Option<u32>, Option<u32>)]) -> Identification {
    let (mut people, mut identities) = (HashMap::new(), HashMap::new());
    let mut shared: HashMap<(usize, usize), f64> = HashMap::new();
    let (mut truths, mut given, mut switches) = (0, 0, 0);
    let mut last: HashMap<u32, u32> = HashMap::new();
    for &(person, identity) in pairs {
        truths += usize::from(person.is_some());
        given += usize::from(identity.is_some());
        let (Some(person), Some(identity)) = (person, identity) else { continue };
        let next = people.len();
        let row = *people.entry(person).or_insert(next);
        let next = identities.len();
        let column = *identities.entry(identity).or_insert(next);
        *shared.entry((row, column)).or_default() += 1.0;
        switches += usize::from(last.insert(person, identity).is_some_and(|before| before != identity));
    }
    let size = people.len().max(identities.len());
    let mut gain = vec![vec![0.0; size]; size];
    for ((row, column), count) in shared {
        gain[row][column] = count;
    }
    let matched = most(&gain);
    Identification { idf1: 2.0 * matched / (truths + given).max(1) as f64, switches }
}

/// The largest sum of one entry per row and column (Kuhn and Munkres).
fn most(gain: &[Vec<f64>]) -> f64 {
    let size = gain.len();
    let (mut u, mut v) = (vec![0.0; size + 1], vec![0.0; size + 1]);
    let mut row_of = vec![0; size + 1];
    for row in 1..=size {
        row_of[0] = row;
        let mut column = 0;
        let mut least = vec![f64::INFINITY; size + 1];
        let mut way = vec![0; size + 1];
        let mut used = vec![false; size + 1];
        while row_of[column] != 0 {
            used[column] = true;
            let (at, mut delta, mut next) = (row_of[column], f64::INFINITY, 0);
            for other in (1..=size).filter(|&other| !used[other]) {
                let cost = -gain[at - 1][other - 1] - u[at] - v[other];
                if cost < least[other] {
                    (least[other], way[other]) = (cost, column);
                }
                if least[other] < delta {
                    (delta, next) = (least[other], other);
                }
            }
            for (other, &used) in used.iter().enumerate() {
                if used {
                    u[row_of[other]] += delta;
                    v[other] -= delta;
                } else {
                    least[other] -= delta;
                }
            }
            column = next;
        }
        while column != 0 {
            row_of[column] = row_of[way[column]];
            column = way[column];
        }
    }
    (1..=size).map(|column| gain[row_of[column] - 1][column - 1]).sum()
}
