//! A faster sine and cosine for small angles.

/// The result of `libm::sincos`, to the bit. For the angles of a standing pole it evaluates libm's own polynomials inline,
/// because the call and the reduction of large angles take a third of a step.
#[inline]
pub(crate) fn sincos(x: f64) -> (f64, f64) {
    if !(1e-6..0.75).contains(&x.abs()) {
        return libm::sincos(x);
    }
    let z = x * x;
    let w = z * z;
    let r = S[1] + z * (S[2] + z * S[3]) + z * w * (S[4] + z * S[5]);
    let sine = x + z * x * (S[0] + z * r);
    let r = z * (C[0] + z * (C[1] + z * C[2])) + w * w * (C[3] + z * (C[4] + z * C[5]));
    let half = 0.5 * z;
    let w = 1.0 - half;
    (sine, w + (((1.0 - w) - half) + z * r))
}

// The coefficients of FreeBSD's msun, of which libm is a port, as the bits in its comments.
const S: [f64; 6] = [
    f64::from_bits(0xbfc5_5555_5555_5549),
    f64::from_bits(0x3f81_1111_1110_f8a6),
    f64::from_bits(0xbf2a_01a0_19c1_61d5),
    f64::from_bits(0x3ec7_1de3_57b1_fe7d),
    f64::from_bits(0xbe5a_e5e6_8a2b_9ceb),
    f64::from_bits(0x3de5_d93a_5acf_d57c),
];
const C: [f64; 6] = [
    f64::from_bits(0x3fa5_5555_5555_554c),
    f64::from_bits(0xbf56_c16c_16c1_5177),
    f64::from_bits(0x3efa_01a0_19cb_1590),
    f64::from_bits(0xbe92_7e4f_809c_52ad),
    f64::from_bits(0x3e21_ee9e_bdb4_b1c4),
    f64::from_bits(0xbda8_fae9_be88_38d4),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_libm_to_the_bit() {
        let bits = |(sine, cosine): (f64, f64)| (sine.to_bits(), cosine.to_bits());
        let mut rng = potstill_sdk::Rng::seeded(1);
        for i in 0..200_000 {
            let x = rng.uniform_in(-1.0, 1.0)
                * if i % 2 == 0 { 1.0 } else { libm::exp2(-rng.uniform_in(0.0, 60.0)) };
            assert_eq!(bits(sincos(x)), bits(libm::sincos(x)), "{x}");
        }
        for x in [0.0, -0.0, 1e-6, 0.75, -0.75, 3.0, 1e300, f64::MIN_POSITIVE / 4.0] {
            assert_eq!(bits(sincos(x)), bits(libm::sincos(x)), "{x}");
        }
    }
}
