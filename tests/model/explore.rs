//! Explores every reachable state once, breadth first, so that a counterexample is a shortest path.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::rc::Rc;

/// A system of states and steps.
pub(crate) trait Model {
    type State: Eq + Hash;
    type Step: Copy;
    type InvariantError: fmt::Display;

    fn start(&self) -> Self::State;

    /// Returns every possible step of a state. Empty: the state is an end.
    fn steps(&self, state: &Self::State) -> Vec<Self::Step>;

    /// Returns the state after a step.
    ///
    /// # Errors
    /// The step breaks an invariant.
    fn take(
        &self,
        state: &Self::State,
        step: Self::Step,
    ) -> Result<Self::State, Self::InvariantError>;

    /// Checks the invariants of an end.
    fn check_end(&self, state: &Self::State) -> Result<(), Self::InvariantError>;

    /// Returns a step as text.
    fn describe(&self, before: &Self::State, step: Self::Step) -> String;
}

/// The explored states of a model.
pub(crate) struct Exploration<M: Model> {
    nodes: Vec<Node<M>>,
    pub(crate) steps: usize,
    pub(crate) ends: usize,
    pub(crate) depth: usize,
    /// Every path has an end: no state is reachable from itself.
    pub(crate) terminates: bool,
}

struct Node<M: Model> {
    state: Rc<M::State>,
    /// The predecessor on a shortest path, and the step.
    from: Option<(usize, M::Step)>,
    depth: usize,
}

/// A shortest path to a broken invariant.
pub(crate) struct Counterexample<W> {
    pub(crate) error: W,
    pub(crate) trace: Vec<String>,
}

impl<W: fmt::Display> fmt::Display for Counterexample<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, line) in (1..).zip(&self.trace) {
            writeln!(f, "  {number:>2}. {line}")?;
        }
        write!(f, "   => {}", self.error)
    }
}

impl<M: Model> Exploration<M> {
    /// Explores a model.
    ///
    /// # Errors
    /// The nearest broken invariant.
    pub(crate) fn of(model: &M) -> Result<Self, Counterexample<M::InvariantError>> {
        let start = Rc::new(model.start());
        let mut known = HashMap::from([(Rc::clone(&start), 0)]);
        let mut it = Self {
            nodes: vec![Node { state: start, from: None, depth: 0 }],
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
                if let Err(error) = model.check_end(&state) {
                    let trace = it.path(model, next);
                    return Err(Counterexample { error, trace });
                }
            }
            for step in steps {
                let after = match model.take(&state, step) {
                    Ok(after) => Rc::new(after),
                    Err(error) => {
                        let mut trace = it.path(model, next);
                        trace.push(model.describe(&state, step));
                        return Err(Counterexample { error, trace });
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
        it.terminates = is_acyclic(it.nodes.len(), &edges);
        Ok(it)
    }

    pub(crate) fn states(&self) -> usize {
        self.nodes.len()
    }

    /// Returns the shortest path to a wanted state.
    pub(crate) fn path_to(
        &self,
        model: &M,
        wanted: impl Fn(&M::State) -> bool,
    ) -> Option<Vec<String>> {
        let index = self.nodes.iter().position(|node| wanted(&node.state))?;
        Some(self.path(model, index))
    }

    fn path(&self, model: &M, to: usize) -> Vec<String> {
        let mut trace = Vec::new();
        let mut here = self.nodes.get(to);
        while let Some((from, step)) = here.and_then(|node| node.from) {
            here = self.nodes.get(from);
            trace.extend(here.map(|node| model.describe(&node.state, step)));
        }
        trace.reverse();
        trace
    }
}

/// Removes nodes without predecessors repeatedly. The remaining nodes are on cycles or behind them.
fn is_acyclic(nodes: usize, edges: &[(usize, usize)]) -> bool {
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
