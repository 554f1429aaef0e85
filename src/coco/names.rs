//! Names of keypoints and files, as different programs write them.

/// For each of the `wanted` names, its position among the `found` ones; `None` if one is missing or ambiguous.
///
/// Names are compared by their words: `left_eye`, `Left Eye`, `leftEye`, `l_eye`, `eye-left` and `lefteye` are one name.
pub fn match_names(found: &[String], wanted: &[String]) -> Option<Vec<usize>> {
    let found: Vec<String> = found.iter().map(|name| canonical(name)).collect();
    let position = |name: &String| {
        let name = canonical(name);
        let mut places = found.iter().enumerate().filter(|(_, other)| **other == name);
        let first = places.next()?;
        places.next().is_none().then_some(first.0)
    };
    wanted.iter().map(position).collect()
}

/// The words of a name, in lower case and alphabetical order.
fn canonical(name: &str) -> String {
    let mut words: Vec<String> = Vec::new();
    let mut previous = ' ';
    for letter in name.chars() {
        let is_start = !previous.is_alphanumeric()
            || (previous.is_lowercase() && letter.is_uppercase())
            || previous.is_numeric() != letter.is_numeric();
        if letter.is_alphanumeric() {
            if is_start || words.is_empty() {
                words.push(String::new());
            }
            if let Some(word) = words.last_mut() {
                word.extend(letter.to_lowercase());
            }
        }
        previous = letter;
    }
    let side = |word: String| match word.as_str() {
        "l" => vec!["left".to_owned()],
        "r" => vec!["right".to_owned()],
        _ => match ["left", "right"].iter().find_map(|side| Some((side, word.strip_prefix(side)?))) {
            Some((side, rest)) if !rest.is_empty() => vec![(*side).to_owned(), rest.to_owned()],
            _ => vec![word],
        },
    };
    let mut words: Vec<String> = words.into_iter().flat_map(side).collect();
    words.sort_unstable();
    words.join(" ")
}

/// The last component of a path of any system.
pub fn base_name(path: &str) -> &str {
    path.rsplit(['/', '\\']).next().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn spellings_of_one_name_are_equal() {
        for name in ["left_eye", "Left Eye", "leftEye", "LEFT-EYE", "l_eye", "L eye", "eye_left", "lefteye", "LeftEye"]
        {
            assert_eq!(match_names(&list(&["nose", name]), &list(&["left_eye", "nose"])), Some(vec![1, 0]), "{name}");
        }
        for name in ["right_eye", "left_ear", "eye", "left_eye_2", ""] {
            assert_eq!(match_names(&list(&[name]), &list(&["left_eye"])), None, "{name}");
        }
        assert_eq!(match_names(&list(&["point2", "point_1"]), &list(&["point 1", "point 2"])), Some(vec![1, 0]));
        assert_eq!(match_names(&list(&["left_eye", "eye left"]), &list(&["left_eye"])), None, "ambiguous");
        assert_eq!(match_names(&list(&["nose", "neck", "chin"]), &list(&["chin", "nose"])), Some(vec![2, 0]));
    }

    #[test]
    fn paths_of_other_systems() {
        assert_eq!(base_name(r"C:\data\images\000.jpg"), "000.jpg");
        assert_eq!(base_name("/mnt/data/000.jpg"), "000.jpg");
        assert_eq!(base_name("000.jpg"), "000.jpg");
    }
}
