//! Checks that equal seeds give equal random numbers in the SDKs of all languages.
use potstill_sdk::Rng;

use crate::{Author, missing, repository};

const SEEDS: [u64; 4] = [0, 1, 12345, u64::MAX];
const BOUNDS: [u64; 5] = [1, 6, 1 << 32, (1 << 63) + 1, u64::MAX];

/// Prints for each seed two raw numbers, the bits of two uniform numbers, and one number below each bound, three times.
fn expected() -> String {
    let mut lines = String::new();
    for seed in SEEDS {
        let mut rng = Rng::seeded(seed);
        let mut line = |value: u64| lines += &format!("{value}\n");
        line(rng.next_u64());
        line(rng.next_u64());
        line(rng.uniform().to_bits());
        line(rng.uniform_in(-0.05, 0.05).to_bits());
        for _ in 0..3 {
            BOUNDS.iter().for_each(|bound| line(rng.below(*bound)));
        }
    }
    lines
}

fn list(numbers: &[u64], suffix: &str) -> String {
    numbers.iter().map(|n| format!("{n}{suffix}")).collect::<Vec<_>>().join(", ")
}

#[test]
fn python() {
    let author = Author::new();
    let script = format!(
        "import struct, sys\n\
         sys.path.insert(0, {:?})\n\
         from potstill_sdk import Rng\n\
         bits = lambda x: struct.unpack('<Q', struct.pack('<d', x))[0]\n\
         for seed in [{}]:\n    \
             rng = Rng(seed)\n    \
             print(rng.next(), rng.next(), bits(rng.uniform()), bits(rng.uniform(-0.05, 0.05)), sep='\\n')\n    \
             for _ in range(3):\n        \
                 for bound in [{}]:\n            \
                     print(rng.below(bound))\n",
        repository("sdk/python"),
        list(&SEEDS, ""),
        list(&BOUNDS, ""),
    );
    match author.command("python3").args(["-c", &script]).output() {
        Ok(output) => assert_eq!(String::from_utf8_lossy(&output.stdout), expected()),
        Err(e) => missing(&format!("python3: {e}")),
    }
}

#[test]
fn c() {
    let author = Author::new();
    let program = format!(
        "#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n#include \"potstill_common.h\"\n\
         void potstill_fail(const char *message) {{ puts(message); abort(); }}\n\
         static void bits(double x) {{ uint64_t b; memcpy(&b, &x, 8); printf(\"%llu\\n\", (unsigned long long)b); }}\n\
         static void whole(uint64_t x) {{ printf(\"%llu\\n\", (unsigned long long)x); }}\n\
         int main(void) {{\n\
         uint64_t seeds[] = {{{}}}, bounds[] = {{{}}};\n\
         for (int i = 0; i < {}; i++) {{\n\
         potstill_rng rng = potstill_seeded(seeds[i]);\n\
         whole(potstill_next(&rng)); whole(potstill_next(&rng));\n\
         bits(potstill_uniform(&rng)); bits(potstill_uniform_in(&rng, -0.05, 0.05));\n\
         for (int j = 0; j < {}; j++) whole(potstill_below(&rng, bounds[j % {}]));\n\
         }}\nreturn 0;\n}}\n",
        list(&SEEDS, "u"),
        list(&BOUNDS, "u"),
        SEEDS.len(),
        3 * BOUNDS.len(),
        BOUNDS.len(),
    );
    author.write("numbers.c", &program);
    let sdk = repository("sdk/c");
    let flags =
        ["-std=c11", "-Wall", "-Wextra", "-Werror", "-ffp-contract=off", "-o", "numbers", "numbers.c"];
    let mut compile = author.command("cc");
    compile.args(flags).arg(sdk.join("potstill_common.c")).arg("-I").arg(sdk);
    match compile.output() {
        Ok(output) => {
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            let said = author.command(author.path("numbers")).output().unwrap();
            assert_eq!(String::from_utf8_lossy(&said.stdout), expected());
        }
        Err(e) => missing(&format!("cc: {e}")),
    }
}
