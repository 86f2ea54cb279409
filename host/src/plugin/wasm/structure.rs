//! The shape that a component must have to be compiled. The compiler's time and memory grow with the square, or worse, of
//! some counts, so that a few KiB can keep it busy for hours. Code from a compiler stays far below these limits.
use wasmparser::{CompositeInnerType, FunctionBody, Operator, Parser, Payload};

/// The most loops within each other. The largest count seen in real components is 18.
const MOST_NESTED_LOOPS: usize = 32;
/// The most loops of a function.
const MOST_LOOPS: usize = 4096;
/// The most local variables of a function. The largest count seen is 271.
const MOST_LOCALS: u32 = 2048;
/// The most parameters or results of a function or a block. The largest count seen is 86.
const MOST_PARAMETERS: usize = 128;
/// The most instances of modules and components. A component in Python has some 100.
const MOST_INSTANCES: u32 = 1000;
/// The most components within each other, as tools that compose them make. Each level may repeat the one below it.
const MOST_NESTED_COMPONENTS: usize = 3;

/// Whether `component` has such a shape. What is damaged passes: the compiler says what is wrong with it.
///
/// # Errors
/// Says what there is too much of.
pub(super) fn check(component: &[u8]) -> Result<(), String> {
    let (mut instances, mut depth) = (0u32, vec![]);
    for payload in Parser::new(0).parse_all(component) {
        let Ok(payload) = payload else { return Ok(()) };
        match payload {
            Payload::Version { encoding, .. } => {
                depth.push(encoding);
                at_most("components within each other", depth.len() - 1, MOST_NESTED_COMPONENTS)?;
            }
            Payload::End(_) => drop(depth.pop()),
            Payload::InstanceSection(section) => instances = instances.saturating_add(section.count()),
            Payload::ComponentInstanceSection(section) => {
                instances = instances.saturating_add(section.count());
            }
            Payload::TypeSection(types) => {
                let types = types.into_iter().map_while(Result::ok).flat_map(|group| group.into_types());
                for ty in types {
                    if let CompositeInnerType::Func(function) = &ty.composite_type.inner {
                        let most = function.params().len().max(function.results().len());
                        at_most("parameters or results", most, MOST_PARAMETERS)?;
                    }
                }
            }
            Payload::CodeSectionEntry(body) => check_function(&body)?,
            _ => {}
        }
        at_most("instances", instances, MOST_INSTANCES)?;
    }
    Ok(())
}

fn check_function(body: &FunctionBody<'_>) -> Result<(), String> {
    let (Ok(locals), Ok(operators)) = (body.get_locals_reader(), body.get_operators_reader()) else {
        return Ok(());
    };
    let locals = locals.into_iter().map_while(Result::ok).fold(0u32, |n, (more, _)| n.saturating_add(more));
    at_most("local variables in a function", locals, MOST_LOCALS)?;
    let (mut blocks, mut nested, mut loops) = (vec![], 0, 0);
    for operator in operators.into_iter().map_while(Result::ok) {
        match operator {
            Operator::Loop { .. } => {
                blocks.push(true);
                nested += 1;
                loops += 1;
            }
            Operator::Block { .. } | Operator::If { .. } | Operator::TryTable { .. } => blocks.push(false),
            Operator::End => nested -= usize::from(blocks.pop() == Some(true)),
            _ => {}
        }
        at_most("loops within each other", nested, MOST_NESTED_LOOPS)?;
    }
    at_most("loops in a function", loops, MOST_LOOPS)
}

fn at_most<T: PartialOrd + std::fmt::Display>(what: &str, count: T, most: T) -> Result<(), String> {
    match count <= most {
        true => Ok(()),
        false => Err(format!("is not compiled: it has {count} {what}, expected at most {most}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A module with one function: its type has so many parameters, and its code so many locals.
    fn module(parameters: usize, locals: u32, code: &[u8]) -> Vec<u8> {
        let leb = |mut n: usize| {
            let mut bytes = vec![];
            while n > 0x7f {
                bytes.push(n as u8 | 0x80);
                n >>= 7;
            }
            bytes.push(n as u8);
            bytes
        };
        let section = |id: u8, content: &[u8]| [&[id][..], &leb(content.len()), content].concat();
        let ty = [&[1, 0x60][..], &leb(parameters), &vec![0x7f; parameters], &[0]].concat();
        let body = [&[1][..], &leb(locals as usize), &[0x7f], code, &[0x0b]].concat();
        let code = [&[1][..], &leb(body.len()), &body].concat();
        let sections = [section(1, &ty), section(3, &[1, 0]), section(10, &code)].concat();
        [b"\0asm\x01\0\0\0", &sections[..]].concat()
    }

    #[test]
    fn what_would_take_the_compiler_long_is_refused() {
        let within = |n: usize| [[3, 0x40].repeat(n), [0x0b].repeat(n)].concat();
        let in_turn = |n: usize| [3, 0x40, 0x0b].repeat(n);
        for module in [module(128, 2048, &within(32)), module(0, 0, &in_turn(4096)), b"\0asm".into()] {
            check(&module).unwrap();
        }
        for (module, cause) in [
            (module(0, 0, &within(33)), "it has 33 loops within each other, expected at most 32"),
            (module(0, 0, &in_turn(4097)), "it has 4097 loops in a function, expected at most 4096"),
            (module(0, 2049, &[]), "it has 2049 local variables in a function"),
            (module(0, u32::MAX, &[]), "local variables in a function"),
            (module(129, 0, &[]), "it has 129 parameters or results, expected at most 128"),
        ] {
            let error = check(&module).unwrap_err();
            assert!(error.contains(cause), "{error}");
        }
        // Components within each other: a component section (4) has a whole component.
        let component = |inner: Vec<u8>| match inner.is_empty() {
            true => b"\0asm\x0d\0\x01\0".to_vec(),
            false => [&b"\0asm\x0d\0\x01\0\x04"[..], &[inner.len() as u8], &inner].concat(),
        };
        let nested = |depth: usize| (0..=depth).fold(vec![], |inner, _| component(inner));
        check(&nested(3)).unwrap();
        assert!(check(&nested(4)).unwrap_err().contains("4 components within each other"));
    }
}
