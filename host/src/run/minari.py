"""Reads and writes Minari datasets for Potstill, in the user's own Python.

The request is one line of JSON on standard input; the answers are lines of JSON on standard output, each an object with
one key: `about`, `progress`, then `read` or `written`; or `refused`, `unknown`, `lacking`.

`read` appends to one file of little-endian numbers a column, episode by episode: `observations` (float32 or uint8),
`actions` (float32, or int32 from 0 on), `rewards` (float32), `terminated` and `truncated` (uint8), and
`final_observations`. `write` takes a file of transitions of `potstill collect`, which Potstill has checked.
"""

import sys

# Modules are not imported from the current folder.
sys.path = [place for place in sys.path if place]

import inspect
import json
import os
import re
import shutil
import tempfile
from pathlib import Path

ANSWERS = sys.stdout
# What Minari and its libraries print is no answer.
sys.stdout = sys.stderr


class Refused(Exception):
    """A dataset that cannot be read or written, and why."""


def answer(**what):
    print(json.dumps(what), file=ANSWERS, flush=True)


def bounds(values):
    """The bounds of a box as Potstill writes them: one if all are equal; infinite ones as text."""
    numbers = [float(np.float32(value)) for value in values.ravel()]
    numbers = numbers[:1] if len(set(numbers)) == 1 else numbers
    return [number if np.isfinite(number) else str(number) for number in numbers]


def described(space, name):
    """The space as Potstill writes it."""
    if isinstance(space, gymnasium.spaces.Discrete):
        return {"type": "discrete", "n": int(space.n)}
    if not isinstance(space, gymnasium.spaces.Box):
        what = type(space).__name__
        advice = "; flatten it in Minari first" if what in ("Dict", "Tuple") else ""
        raise Refused(f"its {name} space is {what}, and only Box and Discrete are read{advice}")
    if space.dtype == np.uint8:
        return {"type": "image", "shape": list(space.shape)}
    return {"type": "box", "shape": list(space.shape), "low": bounds(space.low), "high": bounds(space.high)}


def is_lossy(metadata, space):
    """Whether Minari keeps observations of this space as JPEG, as it does from 0.5.3 on unless it is told otherwise."""
    try:
        from minari.dataset.minari_storage import is_image_space
    except ImportError:
        return False
    return is_image_space(space) and metadata.get("jpeg_encoding", True)


def version(text):
    return tuple(int(number) for number in re.findall(r"\d+", text)[:3])


def opened(source):
    """The dataset of this name or folder."""
    folder = Path(source)
    if folder.is_dir():
        data = folder if (folder / "metadata.json").exists() else folder / "data"
        if not (data / "metadata.json").exists():
            raise Refused("it is not the folder of a Minari dataset: there is no data/metadata.json in it")
    else:
        root = get_dataset_path("")
        known = sorted(str(p.parent.parent.relative_to(root)) for p in root.rglob("data/metadata.json"))
        if source not in known:
            answer(unknown={"folder": str(root), "names": known})
            sys.exit(1)
        data = root / source / "data"
    storage = MinariStorage.read(data)
    metadata = dict(storage.metadata)
    if "jpeg_encoding" not in metadata and version(str(metadata.get("minari_version", "0"))) < (0, 5, 3):
        # Pictures were kept as they are. Newer versions have to be told.
        metadata["jpeg_encoding"] = False
        if hasattr(storage, "jpeg_encoding"):
            storage = type(storage)(data, storage.observation_space, storage.action_space, jpeg_encoding=False)
    dataset = minari.MinariDataset(storage)
    if is_lossy(metadata, dataset.observation_space):
        raise Refused(
            "its pictures are kept as JPEG, which has changed their pixels; only a dataset that was made with "
            "jpeg_encoding=False (Minari 0.5.4 or later) has those that the policy saw"
        )
    return dataset, metadata


def converted(values, to, where, what):
    """`values` as numbers of the type `to`, which must be able to hold them."""
    values = np.asarray(values)
    if values.dtype.kind not in "fiub":
        raise Refused(f"{where}: its {what} are {values.dtype}, which are not numbers")
    with np.errstate(over="ignore"):
        new = values.astype(to)
    if values.dtype.kind != "f" and not np.array_equal(new.astype(values.dtype), values):
        raise Refused(f"{where}: its {what} are {values.dtype}, and {np.dtype(to).name} cannot hold them")
    if new.dtype.kind == "f" and not np.isfinite(new).all():
        at = np.argwhere(~np.isfinite(new))[0]
        raise Refused(f"{where}, step {at[0]}: its {what} hold {values[tuple(at)]}; expected finite numbers")
    return new


def flags(values, steps, where, what):
    values = np.asarray(values)
    if values.shape != (steps,) or not np.isin(values, (0, 1)).all():
        raise Refused(f"{where}: its {what} are not one flag for each of {steps} steps")
    return values.astype(np.uint8)


def read(request):
    dataset, metadata = opened(request["source"])
    seen, acted = dataset.observation_space, dataset.action_space
    observation, action = described(seen, "observation"), described(acted, "action")
    if action["type"] == "image":
        raise Refused("its actions are uint8 arrays; Discrete actions or numbers are read")
    env_spec = dataset.env_spec
    answer(
        about={
            "observation": observation,
            "action": action,
            "gymnasium": None if env_spec is None else env_spec.id,
            "id": str(metadata.get("dataset_id", "")),
            "algorithm": str(metadata.get("algorithm_name", "")),
            "minari": str(metadata.get("minari_version", "")),
        }
    )
    total = int(dataset.total_episodes)
    names = ("observations", "actions", "rewards", "terminated", "truncated", "final_observations")
    files = {name: open(Path(request["folder"]) / name, "xb") for name in names}
    unfinished = count = 0
    rounded = set()
    for episode in dataset.iterate_episodes():
        where = f"episode {count}"
        rewards = converted(episode.rewards, "<f4", where, "rewards")
        steps = len(rewards)
        if rewards.shape != (steps,) or steps == 0:
            raise Refused(f"{where} has no steps, or more than one reward a step")
        observations = np.asarray(episode.observations)
        if observations.shape != (steps + 1, *seen.shape):
            raise Refused(
                f"{where} has {steps} steps and observations of shape {list(observations.shape)}; expected "
                f"{[steps + 1, *seen.shape]}: it is damaged, or this version of Minari cannot read it"
            )
        if observation["type"] == "image":
            if observations.dtype != np.uint8:
                raise Refused(f"{where}: the observations are {observations.dtype}; their space says uint8")
        else:
            if observations.dtype.kind == "f" and observations.dtype.itemsize > 4:
                rounded.add("observations")
            observations = converted(observations, "<f4", where, "observations")
        actions = np.asarray(episode.actions)
        if actions.shape != (steps, *acted.shape):
            raise Refused(f"{where} has {steps} steps and actions of shape {list(actions.shape)}")
        if action["type"] == "discrete":
            actions = converted(actions - int(acted.start), "<i4", where, "actions")
            wrong = (actions < 0) | (actions >= action["n"])
            if wrong.any():
                at = int(wrong.argmax())
                raise Refused(f"{where}, step {at}: the action is outside of {acted}")
        else:
            if actions.dtype.kind == "f" and actions.dtype.itemsize > 4:
                rounded.add("actions")
            actions = converted(actions, "<f4", where, "actions")
        terminated = flags(episode.terminations, steps, where, "terminations")
        truncated = flags(episode.truncations, steps, where, "truncations")
        ended = terminated | truncated
        if ended[:-1].any():
            raise Refused(f"{where} goes on after it ended in step {int(ended.argmax())} of {steps}")
        if not ended[-1]:
            # The recording stopped before the episode did.
            truncated[-1] = 1
            unfinished += 1
        columns = (observations[:-1], actions, rewards, terminated, truncated, observations[-1])
        for name, column in zip(names, columns):
            files[name].write(np.ascontiguousarray(column).tobytes())
        count += 1
        answer(progress=[count, total])
    if count != total:
        raise Refused(f"Minari gave {count} episodes of {total}: the dataset is damaged")
    for file in files.values():
        file.close()
    answer(read={"episodes": count, "unfinished": unfinished, "rounded": sorted(rounded)})


def tensors(path):
    """The tensors of a safetensors file, not read before they are used."""
    kinds = {"F32": "<f4", "I32": "<i4", "U8": "u1"}
    with open(path, "rb") as file:
        size = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(size))
    header.pop("__metadata__", None)
    whole = np.memmap(path, mode="r", offset=8 + size)
    return {
        name: whole[slice(*about["data_offsets"])].view(kinds[about["dtype"]]).reshape(about["shape"])
        for name, about in header.items()
    }


def space(about):
    """The Gymnasium space of what Potstill writes."""
    if about["type"] == "discrete":
        return gymnasium.spaces.Discrete(about["n"])
    shape = tuple(about["shape"])
    if about["type"] == "image":
        return gymnasium.spaces.Box(0, 255, shape, np.uint8)
    size = int(np.prod(shape))
    low, high = (
        np.resize(np.array([float(value) for value in about[name]], np.float32), size).reshape(shape)
        for name in ("low", "high")
    )
    return gymnasium.spaces.Box(low, high, shape, np.float32)


def episodes(columns, discrete):
    """The episodes of transitions, with the observation that each ended with."""
    ends = np.flatnonzero(columns["terminated"] | columns["truncated"]) + 1
    for number, (start, end) in enumerate(zip([0, *ends[:-1]], ends)):
        rows = slice(start, end)
        last = columns["final_observations"][number : number + 1]
        actions = columns["actions"][rows]
        yield {
            "observations": np.concatenate([columns["observations"][rows], last]),
            "actions": actions[:, 0].astype(np.int64) if discrete else np.array(actions),
            "rewards": np.array(columns["rewards"][rows]),
            "terminations": columns["terminated"][rows].astype(bool),
            "truncations": columns["truncated"][rows].astype(bool),
        }


def write(request):
    try:
        from minari.data_collector.episode_buffer import EpisodeBuffer
    except ImportError:
        raise Refused(f"Minari {minari.__version__} cannot write it; Minari 0.5 or later can") from None
    columns = tensors(request["file"])
    discrete = request["action"]["type"] == "discrete"
    shape = () if discrete else tuple(request["action"]["shape"])
    columns["actions"] = columns["actions"].reshape(-1, *(shape or (1,)))
    seen, acted = space(request["observation"]), space(request["action"])
    env_spec = None
    if request["gymnasium"] is not None:
        try:
            env_spec = gymnasium.spec(request["gymnasium"])
        except Exception as error:
            raise Refused(f"Gymnasium does not know the environment of --gymnasium: {error}") from None
    # Minari cannot write to a relative path.
    root = Path(get_dataset_path("") if request["root"] is None else request["root"]).absolute()
    name = request["name"]
    place = root / name
    if place.exists():
        raise Refused(f"{place} exists; choose another --name, such as the next version")
    lossless = {}
    if "jpeg_encoding" in inspect.signature(MinariStorage.new).parameters:
        lossless = {"jpeg_encoding": False}
    elif is_lossy({}, seen):
        raise Refused(
            f"Minari {minari.__version__} keeps pictures of this shape as JPEG, which changes their pixels; Minari "
            "0.5.4 and later can keep them as they are"
        )
    total = len(columns["final_observations"])
    root.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=".potstill-", dir=root))
    try:
        storage = MinariStorage.new(
            scratch / "data",
            observation_space=seen,
            action_space=acted,
            env_spec=env_spec,
            data_format=request["format"],
            **lossless,
        )
        storage.update_metadata(
            {
                "dataset_id": name,
                "minari_version": minari.__version__,
                "algorithm_name": request["algorithm"],
                "description": request["description"],
            }
        )

        def buffers():
            for count, episode in enumerate(episodes(columns, discrete)):
                yield EpisodeBuffer(id=count, infos={}, **episode)
                answer(progress=[count + 1, 2 * total])

        # For Arrow, Minari adds up the sizes of all files after each episode.
        size, storage.get_size = storage.get_size, lambda: 0.0
        storage.update_episodes(buffers())
        storage.update_metadata({"dataset_size": float(size())})
        # Not every version of Minari keeps every shape, so that what it reads is compared.
        count = 0
        for back, episode in zip(minari.MinariDataset(scratch / "data").iterate_episodes(), episodes(columns, discrete)):
            for column, values in episode.items():
                if not np.array_equal(np.asarray(getattr(back, column)), values):
                    raise Refused(
                        f"Minari {minari.__version__} does not give back the {column} of episode {count} as they were "
                        f"written; try another --format or version of Minari"
                    )
            count += 1
            answer(progress=[total + count, 2 * total])
        if count != total:
            raise Refused(f"Minari {minari.__version__} gives back {count} of {total} episodes; try another --format")
        (scratch / "dataset").mkdir()
        os.rename(scratch / "data", scratch / "dataset" / "data")
        place.parent.mkdir(parents=True, exist_ok=True)
        for parent in list(place.relative_to(root).parents)[:-1]:
            mark = root / parent / "namespace_metadata.json"
            if not mark.exists():
                mark.write_text("{}")
        os.rename(scratch / "dataset", place)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    answer(written={"folder": str(place)})


try:
    import gymnasium
    import minari
    import numpy as np
    from minari.dataset.minari_storage import MinariStorage
    from minari.storage.datasets_root_dir import get_dataset_path

    request = json.loads(sys.stdin.readline())
    {"read": read, "write": write}[request["task"]](request)
except ImportError as error:
    # Minari imports the libraries of a format when it opens a dataset of it.
    answer(lacking=str(error))
    sys.exit(1)
except Refused as error:
    answer(refused=str(error))
    sys.exit(1)
except (KeyboardInterrupt, BrokenPipeError):
    sys.exit(130)
except Exception as error:
    answer(refused=f"Minari cannot do it: {type(error).__name__}: {error}")
    sys.exit(1)
