//! Circles among what needs one another.

/// Marks what has not been met, and what is in its set already.
const UNSEEN: u32 = u32::MAX;
const DONE: u32 = u32::MAX - 1;

/// The strongly connected sets of more than one member (Tarjan 1972, with a stack of its own): `edges[n]` are those that `n`
/// needs, all below `edges.len()`. Sets and members come in no particular order.
///
/// # Panics
/// For an edge that leads nowhere.
pub fn groups(edges: &[Vec<u32>]) -> Vec<Vec<u32>> {
    let mut order = vec![UNSEEN; edges.len()];
    let mut low = vec![0; edges.len()];
    let mut waiting: Vec<u32> = Vec::new();
    let mut path: Vec<(usize, usize)> = Vec::new();
    let mut found = Vec::new();
    let mut count = 0;
    for root in 0..edges.len() {
        if order[root] != UNSEEN {
            continue;
        }
        path.push((root, 0));
        while let Some((node, step)) = path.last_mut() {
            let node = *node;
            if *step == 0 {
                (order[node], low[node]) = (count, count);
                count += 1;
                waiting.push(node as u32);
            }
            let Some(&next) = edges[node].get(*step) else {
                path.pop();
                if let Some((parent, _)) = path.last() {
                    low[*parent] = low[*parent].min(low[node]);
                }
                if low[node] == order[node] {
                    let start = waiting.iter().rposition(|one| *one as usize == node).expect("what is on the path is waiting");
                    let members = waiting.split_off(start);
                    for member in &members {
                        order[*member as usize] = DONE;
                    }
                    if members.len() > 1 {
                        found.push(members);
                    }
                }
                continue;
            };
            *step += 1;
            match order[next as usize] {
                UNSEEN => path.push((next as usize, 0)),
                DONE => {}
                met => low[node] = low[node].min(met),
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn reaches(edges: &[Vec<u32>], from: usize) -> Vec<bool> {
        let mut seen = vec![false; edges.len()];
        let mut waiting = vec![from];
        while let Some(node) = waiting.pop() {
            for next in &edges[node] {
                if !std::mem::replace(&mut seen[*next as usize], true) {
                    waiting.push(*next as usize);
                }
            }
        }
        seen
    }

    proptest! {
        #[test]
        fn a_set_is_who_reach_one_another(edges in proptest::collection::vec(proptest::collection::vec(0..12_u32, 0..3), 12)) {
            let found = groups(&edges);
            let reached: Vec<_> = (0..edges.len()).map(|node| reaches(&edges, node)).collect();
            for (one, from_one) in reached.iter().enumerate() {
                for (other, from_other) in reached.iter().enumerate().skip(one + 1) {
                    let is_together = found.iter().any(|set| set.contains(&(one as u32)) && set.contains(&(other as u32)));
                    prop_assert_eq!(is_together, from_one[other] && from_other[one]);
                }
            }
        }
    }

    #[test]
    fn a_long_way_needs_no_deep_stack() {
        let edges: Vec<_> = (0..1_000_000).map(|node| vec![(node + 1) % 1_000_000]).collect();
        assert_eq!(groups(&edges).len(), 1);
    }
}
