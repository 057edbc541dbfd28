//! The advice about a group of dead letters, in one sentence.

use genesys_replay::failure::{Category, FailureCode};

/// Returns the sentence of the failure code's page if the code is known, else the category's sentence.
pub(super) fn of(category: &str, failure_code: &str) -> &'static str {
    if let Some(code) = FailureCode::parse(failure_code) {
        return code.what_to_do();
    }
    let category = Category::ALL.into_iter().find(|it| it.as_str() == category);
    by_category(category.unwrap_or(Category::Unknown))
}

const fn by_category(category: Category) -> &'static str {
    match category {
        Category::RateLimitExceeded => {
            "the target was called too often: raise its limit or its concurrency, then replay at a pace that it can take"
        }
        Category::AuthenticationRejected => {
            "the target refused the caller: give the rule's role or the API destination's connection the permission, then replay"
        }
        Category::EndpointUnreachable => {
            "the target was down or too slow: see that it answers again, then replay"
        }
        Category::TargetMissing => {
            "the target does not exist: create it again, or replay to its successor with `REPLAY_TARGET`"
        }
        Category::PayloadMalformed => {
            "the target refused the payload itself: correct the payload or the target; sent again as it is it fails again"
        }
        Category::Unknown => {
            "nothing says why the delivery failed: look at one of the messages and at the target's log of that time, then replay"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_of_a_failure_code_is_followed_before_the_category() {
        let code = FailureCode::TargetCredentials;
        assert_eq!(of("UNKNOWN", code.as_str()), code.what_to_do());
        for category in Category::ALL {
            for code in ["", "A_CODE_OF_TOMORROW"] {
                assert_eq!(of(category.as_str(), code), by_category(category));
            }
        }
        assert_eq!(of("TOMORROW", ""), by_category(Category::Unknown));
    }
}
