//! A corridor: go left or right until either end; the right end pays 1. Replace it with your environment.
use potstill_sdk::{
    Action, Environment, Frame, OptionKind, OptionSchema, Options, RenderMode, Rng, Space, Spec, Step,
    export_environment,
};

/// One copy. The SDK makes as many as the host asks for.
pub struct Corridor {
    length: i64,
    position: i64,
}

impl Corridor {
    fn observe(&self, observation: &mut [f32]) {
        observation[0] = self.position as f32 / self.length as f32;
    }
}

impl Environment for Corridor {
    const ID: &'static str = "{{id}}";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "A corridor whose right end pays 1.";
    type Scalar = f32;

    fn options() -> Vec<OptionSchema> {
        vec![OptionSchema {
            name: "length".into(),
            help: "Places from end to end.".into(),
            kind: OptionKind::Integer { min: 2, max: 1000 },
            default: 10i64.into(),
        }]
    }

    fn new(options: &Options) -> Result<Self, String> {
        Ok(Corridor { length: options.integer("length")?, position: 0 })
    }

    fn spec(&self) -> Spec {
        Spec {
            observation: Space::Box { shape: vec![1], low: vec![0.0], high: vec![1.0] },
            action: Space::Discrete { n: 2 },
            max_episode_steps: Some(100),
            reward_threshold: None,
            max_return: Some(1.0),
        }
    }

    fn reset(&mut self, rng: &mut Rng, observation: &mut [f32]) {
        self.position = 1 + rng.below(self.length as u64 - 1) as i64;
        self.observe(observation);
    }

    fn step(&mut self, action: Action<'_>, _: &mut Rng, observation: &mut [f32]) -> Step {
        self.position += if action.choice() == 1 { 1 } else { -1 };
        self.observe(observation);
        let won = self.position == self.length;
        Step { reward: won.into(), terminated: won || self.position == 0, truncated: false }
    }

    /// Optional: `potstill play` shows this.
    fn render(&self, mode: RenderMode) -> Result<Frame, String> {
        match mode {
            RenderMode::Text => Ok(Frame::Text(
                (0..=self.length).map(|i| if i == self.position { '@' } else { '.' }).collect(),
            )),
            RenderMode::Rgb => Err("the corridor draws text only".into()),
        }
    }

    /// Optional: lets a killed run resume exactly where it was.
    fn snapshot(&self, state: &mut Vec<u8>) -> bool {
        state.extend(self.position.to_le_bytes());
        true
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), String> {
        self.position = i64::from_le_bytes(state.try_into().map_err(|_| "a corridor's state has 8 bytes")?);
        Ok(())
    }
}

export_environment!(Corridor);

#[cfg(test)]
mod tests {
    use potstill_sdk::Actions;
    use potstill_sdk::testing::Copies;

    use super::*;

    fn corridors(copies: usize) -> Copies<Corridor> {
        let options = [("length".to_owned(), 10i64.into())].into_iter().collect();
        Copies::new(copies, &options).unwrap()
    }

    #[test]
    fn seeds_determine_where_it_starts() {
        let seeds: Vec<u64> = (0..100).collect();
        let first = corridors(100).reset(&seeds).unwrap();
        assert_eq!(corridors(100).reset(&seeds).unwrap(), first);
        assert!(first.iter().all(|x| (0.1..=0.9).contains(x)));
        assert!(first.iter().any(|x| *x != first[0]));
    }

    #[test]
    fn the_right_end_pays_and_ends_the_episode() {
        let mut corridor = corridors(1);
        let mut before = corridor.reset(&[7]).unwrap();
        for _ in 0..10 {
            let out = corridor.step(Actions::Discrete(&[1])).unwrap();
            if out.terminated[0] == 1 {
                assert_eq!((out.rewards[0], &out.final_observations[..]), (1.0, &[1.0][..]));
                return;
            }
            assert_eq!(out.rewards[0], 0.0);
            assert!(out.observations[0] > before[0]);
            before = out.observations.clone();
        }
        panic!("never arrived");
    }

    #[test]
    fn restores_a_snapshot() {
        let mut corridor = corridors(2);
        corridor.reset(&[1, 2]).unwrap();
        let state = corridor.snapshot().unwrap();
        let mut play = || {
            let mut seen = vec![];
            for i in 0..50 {
                seen.push(corridor.step(Actions::Discrete(&[i / 3 % 2, 1])).unwrap().observations.clone());
            }
            corridor.restore(&state).unwrap();
            seen
        };
        assert_eq!(play(), play());
    }
}
