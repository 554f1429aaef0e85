//! The cheapest matching of poses with tracks, in fixed arrays.
//!
//! Shortest augmenting paths with dual variables (Jonker and Volgenant, 1987). Every row may also stay alone for a fixed
//! price, so pairs that cost more than that never appear and the matching need not be complete.

use super::MAX_TRACKS;
use crate::pose::MAX_POSES;

/// Costs of pairs: rows are poses, columns are tracks. A pair that is not allowed has infinite cost.
pub(super) type Costs = [[f32; MAX_TRACKS]; MAX_POSES];

const NONE: usize = usize::MAX;

/// The column of every row, so that the sum of all costs is least; `None` if the row stays alone, which costs `alone`.
///
/// No cost may be NaN or negative; `rows` and `columns` are at most the capacities.
pub(super) fn assign(costs: &Costs, rows: usize, columns: usize, alone: f32) -> [Option<usize>; MAX_POSES] {
    let mut matching = Matching {
        costs,
        columns: columns.min(MAX_TRACKS),
        alone,
        row_price: [0.0; MAX_POSES],
        column_price: [0.0; MAX_TRACKS],
        column_of: [NONE; MAX_POSES],
        row_of: [NONE; MAX_TRACKS],
    };
    let rows = rows.min(MAX_POSES);
    // Most rows get the column that is cheapest for them, without any search.
    let mut contested = [false; MAX_POSES];
    for (row, contested) in contested.iter_mut().enumerate().take(rows) {
        *contested = !matching.take_cheapest(row);
    }
    for row in (0..rows).filter(|&row| contested[row]) {
        matching.augment(row);
    }
    matching.column_of.map(|column| (column != NONE).then_some(column))
}

struct Matching<'a> {
    costs: &'a Costs,
    columns: usize,
    alone: f32,
    row_price: [f32; MAX_POSES],
    column_price: [f32; MAX_TRACKS],
    /// `NONE` for a row that stays alone or was not handled yet.
    column_of: [usize; MAX_POSES],
    row_of: [usize; MAX_TRACKS],
}

impl Matching<'_> {
    /// Whether the row's cheapest column was free, or staying alone is cheapest.
    fn take_cheapest(&mut self, row: usize) -> bool {
        let (mut best, mut least) = (NONE, self.alone);
        for (column, &cost) in self.costs[row][..self.columns].iter().enumerate() {
            if cost < least {
                (best, least) = (column, cost);
            }
        }
        self.row_price[row] = least;
        if best == NONE {
            return true;
        }
        if self.row_of[best] != NONE {
            return false;
        }
        self.row_of[best] = row;
        self.column_of[row] = best;
        true
    }

    /// Matches one more row by the shortest path of swaps, which ends in a free column or in a row that stays alone.
    fn augment(&mut self, start: usize) {
        let mut distance = [f32::INFINITY; MAX_TRACKS];
        let mut came_from = [NONE; MAX_TRACKS];
        let mut done = [false; MAX_TRACKS];
        let mut row_distance = [f32::INFINITY; MAX_POSES];
        row_distance[start] = 0.0;
        let mut row = start;
        // The shortest way that ends with a row alone: its length, and the row.
        let (mut alone_length, mut alone_row) = (f32::INFINITY, start);
        let (length, end) = loop {
            let here = row_distance[row];
            let slack = here + (self.alone - self.row_price[row]);
            if slack < alone_length {
                (alone_length, alone_row) = (slack, row);
            }
            let reached =
                distance.iter_mut().zip(&mut came_from).zip(&done).zip(&self.costs[row]).zip(&self.column_price);
            for ((((distance, came_from), &done), &cost), &price) in reached.take(self.columns) {
                let through = here + (cost - self.row_price[row] - price);
                if !done && through < *distance {
                    (*distance, *came_from) = (through, row);
                }
            }
            let (mut next, mut least) = (NONE, alone_length);
            for (column, (&distance, &done)) in distance.iter().zip(&done).enumerate().take(self.columns) {
                if !done && distance < least {
                    (next, least) = (column, distance);
                }
            }
            if next == NONE {
                break (alone_length, NONE);
            }
            done[next] = true;
            if self.row_of[next] == NONE {
                break (least, next);
            }
            row = self.row_of[next];
            row_distance[row] = least;
        };

        for (price, &reached) in self.row_price.iter_mut().zip(&row_distance) {
            if reached < length {
                *price += length - reached;
            }
        }
        for (column, price) in self.column_price.iter_mut().enumerate() {
            if done[column] && distance[column] < length {
                *price -= length - distance[column];
            }
        }

        // Along the path backwards, every row takes the column that it was reached from.
        let mut column = end;
        if end == NONE {
            column = self.column_of[alone_row];
            self.column_of[alone_row] = NONE;
        }
        // A path visits no row twice.
        for _ in 0..MAX_POSES {
            if column == NONE {
                break;
            }
            let row = came_from[column];
            self.row_of[column] = row;
            core::mem::swap(&mut self.column_of[row], &mut column);
            if row == start {
                break;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::vec;
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    const FORBIDDEN: f32 = f32::INFINITY;

    fn costs(rows: &[Vec<f32>]) -> Costs {
        let mut costs = [[FORBIDDEN; MAX_TRACKS]; MAX_POSES];
        for (into, from) in costs.iter_mut().zip(rows) {
            into[..from.len()].copy_from_slice(from);
        }
        costs
    }

    fn price(costs: &Costs, rows: usize, alone: f32, columns: &[Option<usize>]) -> f32 {
        (0..rows).map(|row| columns[row].map_or(alone, |column| costs[row][column])).sum()
    }

    /// The least sum of all, by trying every matching.
    fn least(costs: &Costs, row: usize, rows: usize, columns: usize, taken: u32, alone: f32) -> f32 {
        if row == rows {
            return 0.0;
        }
        let mut best = alone + least(costs, row + 1, rows, columns, taken, alone);
        for column in (0..columns).filter(|column| taken & (1 << column) == 0 && costs[row][*column] < FORBIDDEN) {
            let rest = least(costs, row + 1, rows, columns, taken | 1 << column, alone);
            best = best.min(costs[row][column] + rest);
        }
        best
    }

    #[test]
    fn the_sum_counts_and_not_each_row() {
        let costs = costs(&[vec![1.0, 2.0], vec![1.5, 9.0]]);
        assert_eq!(assign(&costs, 2, 2, 20.0)[..2], [Some(1), Some(0)]);
    }

    #[test]
    fn dear_pairs_stay_alone() {
        let costs = costs(&[vec![1.0, 6.0], vec![1.5, 9.0]]);
        assert_eq!(assign(&costs, 2, 2, 5.0)[..2], [Some(0), None]);
        assert_eq!(assign(&costs, 0, 0, 5.0), [None; MAX_POSES]);
    }

    proptest! {
        #[test]
        fn no_matching_is_cheaper(
            rows in proptest::collection::vec(proptest::collection::vec(prop_oneof![Just(FORBIDDEN), 0.0..10.0_f32], 6), 0..6),
            alone in 0.0..12.0_f32,
        ) {
            let costs = costs(&rows);
            let columns = assign(&costs, rows.len(), 6, alone);
            let mut taken: Vec<_> = columns.iter().flatten().collect();
            taken.sort();
            taken.dedup();
            prop_assert_eq!(taken.len(), columns.iter().flatten().count());
            let found = price(&costs, rows.len(), alone, &columns);
            prop_assert!((found - least(&costs, 0, rows.len(), 6, 0, alone)).abs() < 1e-3);
        }

        #[test]
        fn full_size_is_matched_once_each(seed in proptest::collection::vec(0.0..10.0_f32, 97)) {
            let mut costs = [[0.0; MAX_TRACKS]; MAX_POSES];
            for (row, costs) in costs.iter_mut().enumerate() {
                for (column, cost) in costs.iter_mut().enumerate() {
                    *cost = seed[(row * 31 + column * 17) % 97];
                }
            }
            let columns = assign(&costs, MAX_POSES, MAX_TRACKS, 11.0);
            let mut taken: Vec<_> = columns.iter().flatten().collect();
            taken.sort();
            taken.dedup();
            prop_assert_eq!(taken.len(), MAX_POSES);
        }
    }
}
