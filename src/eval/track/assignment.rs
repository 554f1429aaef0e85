//! The matching of rows with columns of maximum total gain (Kuhn and Munkres, by shortest augmenting paths).

/// The column of every row, `None` if there are more rows than columns; the rows of `gains` have equal length.
pub(super) fn assign(gains: &[Vec<f64>]) -> Vec<Option<usize>> {
    let (rows, columns) = (gains.len(), gains.first().map_or(0, Vec::len));
    if columns == 0 {
        return vec![None; rows];
    }
    if rows > columns {
        let turned: Vec<Vec<f64>> = (0..columns).map(|column| gains.iter().map(|row| row[column]).collect()).collect();
        let mut found = vec![None; rows];
        for (column, row) in assign(&turned).into_iter().enumerate() {
            if let Some(row) = row {
                found[row] = Some(column);
            }
        }
        return found;
    }
    // Rows and columns count from 1; 0 is none.
    let (mut row_price, mut column_price) = (vec![0.0; rows + 1], vec![0.0; columns + 1]);
    let mut row_of = vec![0; columns + 1];
    for row in 1..=rows {
        row_of[0] = row;
        let mut column = 0;
        let mut least = vec![f64::INFINITY; columns + 1];
        let mut came_from = vec![0; columns + 1];
        let mut done = vec![false; columns + 1];
        while row_of[column] != 0 {
            done[column] = true;
            let (at, mut step, mut next) = (row_of[column], f64::INFINITY, 0);
            for other in (1..=columns).filter(|&other| !done[other]) {
                let cost = -gains[at - 1][other - 1] - row_price[at] - column_price[other];
                if cost < least[other] {
                    (least[other], came_from[other]) = (cost, column);
                }
                if least[other] < step {
                    (step, next) = (least[other], other);
                }
            }
            for (other, &done) in done.iter().enumerate() {
                if done {
                    row_price[row_of[other]] += step;
                    column_price[other] -= step;
                } else {
                    least[other] -= step;
                }
            }
            column = next;
        }
        while column != 0 {
            row_of[column] = row_of[came_from[column]];
            column = came_from[column];
        }
    }
    let mut found = vec![None; rows];
    for (column, &row) in row_of.iter().enumerate().skip(1) {
        if row > 0 {
            found[row - 1] = Some(column - 1);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn least(gains: &[Vec<f64>], row: usize, taken: u32) -> f64 {
        let Some(values) = gains.get(row) else { return 0.0 };
        // A row may stay alone only where there are more rows than columns.
        let alone = if gains.len() > values.len() { least(gains, row + 1, taken) } else { f64::NEG_INFINITY };
        let with = |column: usize| values[column] + least(gains, row + 1, taken | 1 << column);
        (0..values.len()).filter(|column| taken & (1 << column) == 0).map(with).fold(alone, f64::max)
    }

    #[test]
    fn no_matching_gains_more() {
        let mut state = 1_u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 40) as f64 / f64::from(1 << 24)
        };
        for (rows, columns) in [(1, 1), (3, 5), (5, 3), (6, 6), (0, 0), (2, 0)] {
            for _ in 0..20 {
                let gains: Vec<Vec<f64>> = (0..rows).map(|_| (0..columns).map(|_| next()).collect()).collect();
                let found = assign(&gains);
                let sum: f64 = found.iter().zip(&gains).filter_map(|(column, row)| Some(row[(*column)?])).sum();
                assert_eq!(found.iter().flatten().count(), rows.min(columns));
                assert!((sum - least(&gains, 0, 0)).abs() < 1e-9 || columns == 0);
            }
        }
    }
}
