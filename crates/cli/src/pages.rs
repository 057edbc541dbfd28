//! Listings that a service answers in pages.

use futures_util::{Stream, TryStreamExt, stream};

/// Streams the entries of a listing. `page` receives the start of a page (`None` for the first one), and returns the
/// entries of the page and the start of the next one (`None` after the last one).
pub(crate) fn entries<T, E, F>(
    page: impl Fn(Option<String>) -> F,
) -> impl Stream<Item = Result<T, E>> + Unpin
where
    F: Future<Output = Result<(Vec<T>, Option<String>), E>>,
{
    let first = Some(page(None));
    // In a box, because the future of a call to AWS is large.
    Box::pin(
        stream::try_unfold((first, page), |(next, page)| async move {
            let Some(next) = next else { return Ok(None) };
            let (entries, from) = next.await?;
            let next = from.map(|from| page(Some(from)));
            Ok(Some((stream::iter(entries.into_iter().map(Ok)), (next, page))))
        })
        .try_flatten(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn entries_of_all_pages_are_streamed_until_an_error() {
        for (last, expected) in [(2, Ok(vec![0, 10, 11, 20, 21])), (3, Err("page 3"))] {
            let page = |from: Option<String>| async move {
                match from.as_deref() {
                    None => Ok((vec![0], Some("1".to_owned()))),
                    Some("1") => Ok((vec![10, 11], Some("2".to_owned()))),
                    Some("2") => Ok((vec![20, 21], (last > 2).then(|| "3".to_owned()))),
                    Some(_) => Err("page 3"),
                }
            };
            let read: Result<Vec<i32>, _> = entries(page).try_collect().await;
            assert_eq!(read, expected);
        }
    }
}
