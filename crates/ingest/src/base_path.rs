//! The setting `INGEST_BASE_PATH`: the path in front of the paths of ingest.

/// A path such as `/hooks`: a custom domain, a stage of an HTTP API or a reverse proxy puts it in front of the paths of
/// ingest. Empty without a base path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BasePath(String);

impl BasePath {
    /// Parses a path of segments without special characters; a slash at its end is ignored. Returns `None` for any other
    /// text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let path = text.strip_suffix('/').unwrap_or(text);
        if path.is_empty() {
            return Some(Self::default());
        }
        let is_safe = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        let is_segment = |segment: &str| {
            !segment.is_empty() && !segment.starts_with('.') && segment.bytes().all(is_safe)
        };
        path.strip_prefix('/')?.split('/').all(is_segment).then(|| Self(path.to_owned()))
    }

    /// Returns the forms of a path that are accepted: below the base path, and as it is, because callers behind the
    /// domain send the path without the base path.
    pub(crate) fn forms_of(&self, path: &str) -> Vec<String> {
        let mut forms = vec![path.to_owned()];
        if !self.0.is_empty() {
            forms.push(format!("{}{path}", self.0));
        }
        forms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_path_has_plain_segments() {
        for (text, forms) in [
            ("", &["/health"][..]),
            ("/", &["/health"]),
            ("/hooks", &["/health", "/hooks/health"]),
            ("/hooks/", &["/health", "/hooks/health"]),
            ("/a/b-1", &["/health", "/a/b-1/health"]),
        ] {
            let found = BasePath::parse(text).map(|base| base.forms_of("/health"));
            assert_eq!(found.as_deref().unwrap_or_default(), forms, "{text}");
        }
        for text in ["hooks", "//", "/a//b", "/a b", "/{id}", "/*rest", "/..", "/.a", "/a?b", "/é"]
        {
            assert_eq!(BasePath::parse(text), None, "{text}");
        }
    }
}
