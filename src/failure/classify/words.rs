//! The words and numbers of an error code or message.

use super::Category;
use super::phrases::{
    LOGIN_FAULT, NEAR, Near, OTHER_SUBJECTS, PAYLOAD_FAULTS, PHRASES, SIZE_FAULTS, SIZED_OTHERS,
    STRONGER, UNNAMED_FAULTS,
};

/// Returns the category of a text's words; `None` if they do not determine one. Separators and camel case separate words.
pub(super) fn category(text: &str) -> Option<Category> {
    named_category(text).or_else(|| is_unnamed_fault(text).then_some(Category::PayloadMalformed))
}

/// Returns the category of the words that name the subject of the fault. `Unknown`: the words name another subject.
pub(super) fn named_category(text: &str) -> Option<Category> {
    // A parser that found an HTML page in place of JSON: it read an answer.
    if text.contains("token <") || text.contains("token '<'") {
        return Some(Category::Unknown);
    }
    let words = Words::of(text);
    let by_phrase = |lists: &[(Category, &[&str])]| {
        let found = lists.iter().find(|(_, phrases)| words.have_any(phrases));
        found.map(|(category, _)| *category)
    };
    if let Some(category) = by_phrase(STRONGER) {
        return Some(category);
    }
    if PAYLOAD_FAULTS.iter().any(|fault| words.have_near(fault))
        || words.have_any(SIZE_FAULTS) && !words.have_any(SIZED_OTHERS)
    {
        return Some(Category::PayloadMalformed);
    }
    if words.have_near(&LOGIN_FAULT) {
        return Some(Category::AuthenticationRejected);
    }
    by_phrase(PHRASES)
}

/// Returns true if the words are those of a malformed payload, and name no subject.
pub(super) fn is_unnamed_fault(text: &str) -> bool {
    let words = Words::of(text);
    words.have_any(UNNAMED_FAULTS) && !words.have_any(OTHER_SUBJECTS)
}

/// The words of a text in lower case, each followed by a space. A number is a word of its own.
struct Words(String);

impl Words {
    fn of(text: &str) -> Self {
        Self(spaced(text))
    }

    /// Returns the places of a phrase: the number of words before it.
    fn places(&self, phrase: &str) -> impl Iterator<Item = usize> {
        let before = self.0.match_indices(phrase).filter_map(|(at, _)| self.0.get(..at));
        before
            .filter(|before| before.is_empty() || before.ends_with(' '))
            .map(|before| before.matches(' ').count())
    }

    fn have_any(&self, phrases: &[&str]) -> bool {
        phrases.iter().any(|phrase| self.places(phrase).next().is_some())
    }

    fn have_near(&self, near: &Near) -> bool {
        let places = |phrases: &[&str]| -> Vec<usize> {
            phrases.iter().flat_map(|phrase| self.places(phrase)).collect()
        };
        let faults = places(near.faults);
        !faults.is_empty()
            && places(near.subjects)
                .iter()
                .any(|subject| faults.iter().any(|fault| subject.abs_diff(*fault) <= NEAR))
            && !self.have_any(near.others)
    }
}

/// Returns the words of a text in lower case, each followed by a space.
pub(super) fn spaced(text: &str) -> String {
    let mut spaced = String::with_capacity(text.len() + 8);
    let mut letters = text.chars().peekable();
    let mut before = ' ';
    while let Some(letter) = letters.next() {
        if !letter.is_alphanumeric() {
            before = ' ';
            continue;
        }
        // `NonExistent`, and `HTTPError`: the last capital begins the next word.
        let begins_lower = letters.peek().is_some_and(|next| next.is_lowercase());
        let begins = before == ' '
            || before.is_numeric() != letter.is_numeric()
            || letter.is_uppercase() && (before.is_lowercase() || begins_lower);
        if begins && !spaced.is_empty() {
            spaced.push(' ');
        }
        spaced.extend(letter.to_lowercase());
        before = letter;
    }
    if !spaced.is_empty() {
        spaced.push(' ');
    }
    spaced
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_separated_by_separators_camel_case_and_digits() {
        for (text, expected) in [
            ("NETWORK_TIMEOUT", "network timeout "),
            ("SchemaValidationError", "schema validation error "),
            ("HTTPError503", "http error 503 "),
            (
                "AWS.SimpleQueueService.NonExistentQueue",
                "aws simple queue service non existent queue ",
            ),
            ("  rate-limit: 5 ", "rate limit 5 "),
            ("Überlast", "überlast "),
            ("", ""),
            ("__", ""),
        ] {
            assert_eq!(spaced(text), expected, "{text}");
        }
    }

    #[test]
    fn phrase_matches_from_the_beginning_of_a_word() {
        assert_eq!(category("unthrottled"), None);
        assert_eq!(category("a throttled call"), Some(Category::RateLimitExceeded));
        assert_eq!(category("quota exceeded"), Some(Category::RateLimitExceeded));
        assert_eq!(category("quotation failed"), None, "not a whole word");
    }

    #[test]
    fn subject_and_fault_match_near_each_other() {
        let malformed = Some(Category::PayloadMalformed);
        for text in ["body is invalid", "invalid request body", "invalid: the whole body"] {
            assert_eq!(category(text), malformed, "{text}");
        }
        assert_eq!(category("invalid order, which has no customer and no body"), None);
        assert_eq!(category("invalid response body"), None);
    }
}
