//! Every state that can be reached, each once, nearest first: so the way to a mistake is a shortest one.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::rc::Rc;

/// Something that goes from state to state in steps of which several may be possible.
pub(crate) trait Model {
    type State: Eq + Hash;
    type Step: Copy;
    type Wrong: fmt::Display;

    fn start(&self) -> Self::State;

    /// Every step that is possible in a state; in none at its end.
    fn steps(&self, state: &Self::State) -> Vec<Self::Step>;

    /// The state after a step; `Err` is what must not have happened on the way.
    fn take(&self, state: &Self::State, step: Self::Step) -> Result<Self::State, Self::Wrong>;

    /// Whether a state without steps is a good end.
    fn check_end(&self, state: &Self::State) -> Result<(), Self::Wrong>;

    /// A step in words.
    fn tell(&self, before: &Self::State, step: Self::Step) -> String;
}

/// Everything that a model can do.
pub(crate) struct Explored<M: Model> {
    nodes: Vec<Node<M>>,
    pub(crate) steps: usize,
    pub(crate) ends: usize,
    pub(crate) depth: usize,
    /// Whether every path comes to an end: no state can be reached from itself.
    pub(crate) terminates: bool,
}

struct Node<M: Model> {
    state: Rc<M::State>,
    /// Where it was reached from first, and how.
    from: Option<(usize, M::Step)>,
    depth: usize,
}

/// How to come to a mistake.
pub(crate) struct Counterexample<W> {
    pub(crate) wrong: W,
    pub(crate) story: Vec<String>,
}

impl<W: fmt::Display> fmt::Display for Counterexample<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, line) in (1..).zip(&self.story) {
            writeln!(f, "  {number:>2}. {line}")?;
        }
        write!(f, "   => {}", self.wrong)
    }
}

impl<M: Model> Explored<M> {
    /// Looks at everything; `Err` is the nearest thing that must not happen.
    pub(crate) fn of(model: &M) -> Result<Self, Counterexample<M::Wrong>> {
        let start = Rc::new(model.start());
        let mut known = HashMap::from([(Rc::clone(&start), 0)]);
        let mut it = Self {
            nodes: vec![Node {
                state: start,
                from: None,
                depth: 0,
            }],
            steps: 0,
            ends: 0,
            depth: 0,
            terminates: true,
        };
        let mut edges = Vec::new();
        let mut next = 0;
        while let Some(node) = it.nodes.get(next) {
            let (state, depth) = (Rc::clone(&node.state), node.depth);
            it.depth = depth;
            let steps = model.steps(&state);
            if steps.is_empty() {
                it.ends += 1;
                if let Err(wrong) = model.check_end(&state) {
                    let story = it.way(model, next);
                    return Err(Counterexample { wrong, story });
                }
            }
            for step in steps {
                let after = match model.take(&state, step) {
                    Ok(after) => Rc::new(after),
                    Err(wrong) => {
                        let mut story = it.way(model, next);
                        story.push(model.tell(&state, step));
                        return Err(Counterexample { wrong, story });
                    }
                };
                let to = *known.entry(after).or_insert_with_key(|state| {
                    it.nodes.push(Node {
                        state: Rc::clone(state),
                        from: Some((next, step)),
                        depth: depth + 1,
                    });
                    it.nodes.len() - 1
                });
                edges.push((next, to));
            }
            next += 1;
        }
        it.steps = edges.len();
        it.terminates = has_no_circle(it.nodes.len(), &edges);
        Ok(it)
    }

    pub(crate) fn states(&self) -> usize {
        self.nodes.len()
    }

    /// The shortest way to a state like this.
    pub(crate) fn way_to(
        &self,
        model: &M,
        wanted: impl Fn(&M::State) -> bool,
    ) -> Option<Vec<String>> {
        let index = self.nodes.iter().position(|node| wanted(&node.state))?;
        Some(self.way(model, index))
    }

    fn way(&self, model: &M, to: usize) -> Vec<String> {
        let mut story = Vec::new();
        let mut here = self.nodes.get(to);
        while let Some((from, step)) = here.and_then(|node| node.from) {
            here = self.nodes.get(from);
            story.extend(here.map(|node| model.tell(&node.state, step)));
        }
        story.reverse();
        story
    }
}

/// Takes away what nothing leads to, again and again: what then remains lies on circles or behind them.
fn has_no_circle(nodes: usize, edges: &[(usize, usize)]) -> bool {
    let mut leading_here = vec![0_u32; nodes];
    let mut first_edge = vec![edges.len(); nodes + 1];
    for (index, (from, to)) in edges.iter().enumerate().rev() {
        leading_here[*to] += 1;
        first_edge[*from] = index;
    }
    for node in (0..nodes).rev() {
        first_edge[node] = first_edge[node].min(first_edge[node + 1]);
    }
    let mut free: Vec<usize> = (0..nodes).filter(|node| leading_here[*node] == 0).collect();
    let mut taken = 0;
    while let Some(node) = free.pop() {
        taken += 1;
        for (_, to) in &edges[first_edge[node]..first_edge[node + 1]] {
            leading_here[*to] -= 1;
            if leading_here[*to] == 0 {
                free.push(*to);
            }
        }
    }
    taken == nodes
}
