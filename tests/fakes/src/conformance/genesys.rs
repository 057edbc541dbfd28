//! The contract of [`Genesys`], in the form of conversations.

use genesys_replay::dead_letter::{InteractionId, InteractionRef};
use genesys_replay::genesys::{Call, Genesys, GenesysError, Interaction, RetryMark, RetryStatus};

use super::{Mishap, Result, holds, same, suite};

/// A Genesys Cloud and the marks on its conversations.
pub trait World {
    /// The implementation.
    type Genesys: Genesys;

    /// The port.
    fn genesys(&self) -> &Self::Genesys;

    /// Lets something befall the next call, which is this one.
    fn next_call(&self, call: Call, mishap: Mishap);

    /// Makes a conversation of these participants, as `(id, purpose)`.
    fn put_participants(&self, conversation: &str, participants: &[(&str, &str)]);

    /// Makes sure that there is no such conversation.
    fn forget(&self, conversation: &str);

    /// The marks that were written on a conversation, in order, as `participant attempt status`.
    fn marks(&self, conversation: &str) -> Vec<String>;
}

/// Whether a Genesys Cloud keeps the contract.
///
/// # Errors
/// Names each case that failed.
pub async fn conforms(world: &impl World) -> Result<()> {
    suite!(world;
        the_mark_goes_to_the_events_participant_else_the_customer_else_the_first,
        what_is_not_known_is_told_apart_from_what_failed,
        marks_are_written_over_one_another_in_order,
        a_mark_can_be_repeated,
        a_participant_who_is_not_there_cannot_be_marked,
        a_call_that_did_not_act_has_changed_nothing,
        a_mark_whose_answer_was_lost_can_be_repeated,
    )
}

const RETRYING: RetryMark = RetryMark {
    attempt: 1,
    status: RetryStatus::Retrying,
};

fn wanted(conversation: &str, participant: Option<&str>) -> Result<InteractionRef> {
    Ok(InteractionRef {
        id: InteractionId::new(conversation).ok_or("conversation id")?,
        participant: participant.map(str::to_owned),
    })
}

fn at(conversation: &str, participant: &str) -> Result<Interaction> {
    Ok(Interaction::Conversation {
        id: InteractionId::new(conversation).ok_or("conversation id")?,
        participant: InteractionId::new(participant).ok_or("participant id")?,
    })
}

/// A conversation with one customer, fetched.
async fn with_customer(world: &impl World, name: &str) -> Result<Interaction> {
    world.put_participants(name, &[("caller", "customer")]);
    Ok(world.genesys().fetch(&wanted(name, None)?).await?)
}

async fn the_mark_goes_to_the_events_participant_else_the_customer_else_the_first(
    world: &impl World,
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
        world.put_participants(name, participants);
        // Twice: reading changes nothing.
        for _ in 0..2 {
            let found = world.genesys().fetch(&wanted(name, named)?).await?;
            same("found", &found, &at(name, marked)?)?;
        }
    }
    same("marks", &world.marks(name), &Vec::new())
}

async fn what_is_not_known_is_told_apart_from_what_failed(
    world: &impl World,
    name: &str,
) -> Result<()> {
    world.forget(name);
    let answer = world.genesys().fetch(&wanted(name, None)?).await;
    same("the fetch", &answer, &Err(GenesysError::NotFound))
}

async fn marks_are_written_over_one_another_in_order(world: &impl World, name: &str) -> Result<()> {
    let interaction = with_customer(world, name).await?;
    for (attempt, status) in [
        (1, RetryStatus::Retrying),
        (2, RetryStatus::Retrying),
        (2, RetryStatus::ReplaySuccessful),
        (3, RetryStatus::ReplayFailed),
        (12, RetryStatus::ExhaustedRetries),
    ] {
        let mark = RetryMark { attempt, status };
        world.genesys().mark(&interaction, mark).await?;
    }
    let marks = [
        "caller 1 retrying",
        "caller 2 retrying",
        "caller 2 replay_successful",
        "caller 3 replay_failed",
        "caller 12 exhausted_retries",
    ];
    same(
        "marks",
        &world.marks(name),
        &marks.map(str::to_owned).to_vec(),
    )
}

async fn a_mark_can_be_repeated(world: &impl World, name: &str) -> Result<()> {
    let interaction = with_customer(world, name).await?;
    world.genesys().mark(&interaction, RETRYING).await?;
    world.genesys().mark(&interaction, RETRYING).await?;
    last_is_retrying(world, name)
}

fn last_is_retrying(world: &impl World, name: &str) -> Result<()> {
    let last = world.marks(name).pop();
    same(
        "the last mark",
        &last.as_deref(),
        &Some("caller 1 retrying"),
    )
}

async fn a_participant_who_is_not_there_cannot_be_marked(
    world: &impl World,
    name: &str,
) -> Result<()> {
    with_customer(world, name).await?;
    let nobody = at(name, "nobody")?;
    let answer = world.genesys().mark(&nobody, RETRYING).await;
    same("the mark", &answer, &Err(GenesysError::NotFound))?;
    same("marks", &world.marks(name), &Vec::new())
}

async fn a_call_that_did_not_act_has_changed_nothing(world: &impl World, name: &str) -> Result<()> {
    let interaction = with_customer(world, name).await?;
    world.next_call(Call::Fetch, Mishap::Down);
    let fetched = world.genesys().fetch(&wanted(name, None)?).await.map(drop);
    unavailable("the fetch", &fetched)?;
    world.next_call(Call::Mark, Mishap::Down);
    let marked = world.genesys().mark(&interaction, RETRYING).await;
    unavailable("the mark", &marked)?;
    same("marks", &world.marks(name), &Vec::new())
}

async fn a_mark_whose_answer_was_lost_can_be_repeated(
    world: &impl World,
    name: &str,
) -> Result<()> {
    let interaction = with_customer(world, name).await?;
    world.next_call(Call::Mark, Mishap::AnswerLost);
    let marked = world.genesys().mark(&interaction, RETRYING).await;
    unavailable("the mark", &marked)?;
    last_is_retrying(world, name)?;
    world.genesys().mark(&interaction, RETRYING).await?;
    last_is_retrying(world, name)
}

fn unavailable(what: &str, answer: &std::result::Result<(), GenesysError>) -> Result<()> {
    let unavailable = matches!(answer, Err(GenesysError::Unavailable { .. }));
    holds(&format!("{what} was answered {answer:?}"), unavailable)
}
