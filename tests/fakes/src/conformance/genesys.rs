//! The contract of [`Genesys`], in both forms of the API.

use genesys_replay::dead_letter::{InteractionId, InteractionRef};
use genesys_replay::genesys::{
    ApiForm, Call, Genesys, GenesysError, Interaction, RetryMark, RetryStatus,
};

use super::{CallFault, Result, holds, same, suite};

/// A Genesys Cloud under test and the marks on its interactions.
pub trait GenesysSuite {
    /// The implementation.
    type Genesys: Genesys;

    /// The port.
    fn genesys(&self) -> &Self::Genesys;

    /// Returns the form of the API.
    fn form(&self) -> ApiForm;

    /// Injects a fault into the next call, which is this one.
    fn next_call(&self, call: Call, fault: CallFault);

    /// Creates an interaction with these participants, as `(id, purpose)`.
    fn put_participants(&self, interaction: &str, participants: &[(&str, &str)]);

    /// Removes an interaction.
    fn forget(&self, interaction: &str);

    /// Returns the marks of an interaction in order, each with its location and as `attempt status`.
    fn marks(&self, interaction: &InteractionId) -> Vec<(Interaction, String)>;
}

/// Checks that a Genesys Cloud keeps the contract.
///
/// # Errors
/// Names each case that failed.
pub async fn conforms(suite: &impl GenesysSuite) -> Result<()> {
    suite!(suite;
        mark_goes_to_the_participant_else_customer_else_first,
        fetch_of_a_missing_interaction_is_not_found,
        marks_are_overwritten_in_order,
        mark_is_idempotent,
        mark_of_a_missing_interaction_is_not_found,
        failed_call_changes_nothing,
        mark_is_idempotent_after_a_lost_response,
    )
}

const RETRYING: RetryMark = RetryMark { attempt: 1, status: RetryStatus::Retrying };

fn wanted(interaction: &str, participant: Option<&str>) -> Result<InteractionRef> {
    Ok(InteractionRef { id: id(interaction)?, participant: participant.map(str::to_owned) })
}

fn id(text: &str) -> Result<InteractionId> {
    Ok(InteractionId::new(text).ok_or("interaction id")?)
}

/// Returns the location of an interaction's mark: a participant, in the form with participants.
fn at(suite: &impl GenesysSuite, interaction: &str, participant: &str) -> Result<Interaction> {
    let interaction = id(interaction)?;
    Ok(match suite.form() {
        ApiForm::Conversations => {
            Interaction::Conversation { id: interaction, participant: id(participant)? }
        }
        ApiForm::Interactions => Interaction::Record { id: interaction },
    })
}

fn no_marks(suite: &impl GenesysSuite, name: &str) -> Result<()> {
    same("marks", &suite.marks(&id(name)?), &Vec::new())
}

/// Creates and fetches an interaction with one customer.
async fn with_customer(suite: &impl GenesysSuite, name: &str) -> Result<Interaction> {
    suite.put_participants(name, &[("caller", "customer")]);
    Ok(suite.genesys().fetch(&wanted(name, None)?).await?)
}

async fn mark_goes_to_the_participant_else_customer_else_first(
    suite: &impl GenesysSuite,
    name: &str,
) -> Result<()> {
    let all = [("bot", "ivr"), ("agent", "agent"), ("caller", "customer")];
    let external = [("bot", "ivr"), ("caller", "external")];
    let nobody = [("bot", "ivr"), ("agent", "agent")];
    for (participants, named, marked) in [
        (&all[..], Some("agent"), "agent"),
        (&all, Some("gone"), "caller"),
        (&all, None, "caller"),
        (&external, None, "caller"),
        (&nobody, None, "bot"),
    ] {
        suite.put_participants(name, participants);
        // Twice: a fetch changes nothing.
        for _ in 0..2 {
            let found = suite.genesys().fetch(&wanted(name, named)?).await?;
            same("found", &found, &at(suite, name, marked)?)?;
        }
    }
    no_marks(suite, name)
}

async fn fetch_of_a_missing_interaction_is_not_found(
    suite: &impl GenesysSuite,
    name: &str,
) -> Result<()> {
    suite.forget(name);
    let answer = suite.genesys().fetch(&wanted(name, None)?).await;
    same("the fetch", &answer, &Err(GenesysError::NotFound))
}

async fn marks_are_overwritten_in_order(suite: &impl GenesysSuite, name: &str) -> Result<()> {
    let interaction = with_customer(suite, name).await?;
    for (attempt, status) in [
        (1, RetryStatus::Retrying),
        (2, RetryStatus::Retrying),
        (2, RetryStatus::ReplaySuccessful),
        (3, RetryStatus::ReplayFailed),
        (12, RetryStatus::ExhaustedRetries),
    ] {
        let mark = RetryMark { attempt, status };
        suite.genesys().mark(&interaction, mark).await?;
    }
    let marks = [
        "1 retrying",
        "2 retrying",
        "2 replay_successful",
        "3 replay_failed",
        "12 exhausted_retries",
    ];
    let marks = marks.map(|mark| (interaction.clone(), mark.to_owned()));
    same("marks", &suite.marks(&id(name)?), &marks.to_vec())
}

async fn mark_is_idempotent(suite: &impl GenesysSuite, name: &str) -> Result<()> {
    let interaction = with_customer(suite, name).await?;
    suite.genesys().mark(&interaction, RETRYING).await?;
    suite.genesys().mark(&interaction, RETRYING).await?;
    last_is_retrying(suite, name)
}

fn last_is_retrying(suite: &impl GenesysSuite, name: &str) -> Result<()> {
    let last = suite.marks(&id(name)?).pop();
    let retrying = (at(suite, name, "caller")?, "1 retrying".to_owned());
    same("the last mark", &last, &Some(retrying))
}

async fn mark_of_a_missing_interaction_is_not_found(
    suite: &impl GenesysSuite,
    name: &str,
) -> Result<()> {
    with_customer(suite, name).await?;
    let unknown = format!("{name}-unknown");
    suite.forget(&unknown);
    let mut absent = vec![at(suite, &unknown, "caller")?];
    if suite.form() == ApiForm::Conversations {
        absent.push(at(suite, name, "nobody")?);
    }
    for interaction in absent {
        let answer = suite.genesys().mark(&interaction, RETRYING).await;
        same("the mark", &answer, &Err(GenesysError::NotFound))?;
    }
    no_marks(suite, &unknown)?;
    no_marks(suite, name)
}

async fn failed_call_changes_nothing(suite: &impl GenesysSuite, name: &str) -> Result<()> {
    let interaction = with_customer(suite, name).await?;
    suite.next_call(Call::Fetch, CallFault::NoEffect);
    let fetched = suite.genesys().fetch(&wanted(name, None)?).await.map(drop);
    unavailable("the fetch", &fetched)?;
    suite.next_call(Call::Mark, CallFault::NoEffect);
    let marked = suite.genesys().mark(&interaction, RETRYING).await;
    unavailable("the mark", &marked)?;
    no_marks(suite, name)
}

async fn mark_is_idempotent_after_a_lost_response(
    suite: &impl GenesysSuite,
    name: &str,
) -> Result<()> {
    let interaction = with_customer(suite, name).await?;
    suite.next_call(Call::Mark, CallFault::ResponseLost);
    let marked = suite.genesys().mark(&interaction, RETRYING).await;
    unavailable("the mark", &marked)?;
    last_is_retrying(suite, name)?;
    suite.genesys().mark(&interaction, RETRYING).await?;
    last_is_retrying(suite, name)
}

fn unavailable(what: &str, answer: &std::result::Result<(), GenesysError>) -> Result<()> {
    let unavailable = matches!(answer, Err(GenesysError::Unavailable { .. }));
    holds(&format!("{what} was answered {answer:?}"), unavailable)
}
