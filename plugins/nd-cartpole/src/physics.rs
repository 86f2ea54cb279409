//! The physics of one cart and its pole, as in Gymnasium.
use crate::trigonometry;

/// The force of an action on a cart, in newtons.
pub(crate) const FORCE: f64 = 10.0;
/// The distance from the center beyond which an episode ends, in meters.
pub(crate) const POSITION_LIMIT: f64 = 2.4;
/// The angle from upright beyond which an episode ends, in radians: 12°.
pub(crate) const ANGLE_LIMIT: f64 = 12.0 * 2.0 * std::f64::consts::PI / 360.0;

const GRAVITY: f64 = 9.8;
const POLE_MASS: f64 = 0.1;
const TOTAL_MASS: f64 = POLE_MASS + 1.0;
/// Half the pole's length, in meters.
pub(crate) const LENGTH: f64 = 0.5;
const POLE_MASS_LENGTH: f64 = POLE_MASS * LENGTH;
const SECONDS_PER_STEP: f64 = 0.02;

/// One cart and its pole.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Axis {
    position: f64,
    velocity: f64,
    angle: f64,
    angular_velocity: f64,
}

impl Axis {
    /// An axis with this position (m), velocity (m/s), angle (rad) and angular velocity (rad/s).
    pub fn from_state([position, velocity, angle, angular_velocity]: [f64; 4]) -> Self {
        Axis { position, velocity, angle, angular_velocity }
    }

    /// The position, velocity, angle and angular velocity.
    pub fn state(&self) -> [f64; 4] {
        [self.position, self.velocity, self.angle, self.angular_velocity]
    }

    /// Takes one Euler step under `force` newtons.
    // The order of operations is Gymnasium's: any other rounds differently, and an unstable system amplifies that.
    #[inline]
    pub(crate) fn step(&mut self, force: f64) {
        let (sine, cosine) = trigonometry::sincos(self.angle);
        let speed_squared = self.angular_velocity * self.angular_velocity;
        let temp = (force + POLE_MASS_LENGTH * speed_squared * sine) / TOTAL_MASS;
        let angular_acceleration = (GRAVITY * sine - cosine * temp)
            / (LENGTH * (4.0 / 3.0 - POLE_MASS * (cosine * cosine) / TOTAL_MASS));
        let acceleration = temp - POLE_MASS_LENGTH * angular_acceleration * cosine / TOTAL_MASS;
        self.position += SECONDS_PER_STEP * self.velocity;
        self.velocity += SECONDS_PER_STEP * acceleration;
        self.angle += SECONDS_PER_STEP * self.angular_velocity;
        self.angular_velocity += SECONDS_PER_STEP * angular_acceleration;
    }

    /// Whether the cart or the pole is beyond its limit.
    #[inline]
    pub(crate) fn is_out(&self) -> bool {
        self.position.abs() > POSITION_LIMIT || self.angle.abs() > ANGLE_LIMIT
    }

    pub(crate) fn position(&self) -> f64 {
        self.position
    }

    pub(crate) fn angle(&self) -> f64 {
        self.angle
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn falls_at_the_limits() {
        assert!(!Axis::from_state([2.4, 9.0, -ANGLE_LIMIT, 9.0]).is_out());
        assert!(Axis::from_state([-2.400001, 0.0, 0.0, 0.0]).is_out());
        assert!(Axis::from_state([0.0, 0.0, 0.2095, 0.0]).is_out());
    }

    #[test]
    fn an_upright_pole_without_push_stays() {
        let mut axis = Axis::default();
        axis.step(0.0);
        assert_eq!(axis, Axis::default());
        axis.step(FORCE);
        assert!(
            axis.state()[1] > 0.0 && axis.state()[3] < 0.0,
            "a push to the right tips the pole to the left"
        );
    }
}
