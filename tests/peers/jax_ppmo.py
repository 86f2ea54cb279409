"""PPMO's meta-epoch in jitted JAX: the peer of `potstill bench`. Prints one JSON line.

2D cart-pole, k = 3, 8 environments x 512 steps, 16 updates of 1024 rows, 2 x 64 tanh, everything (environment,
rollout, advantages, updates) in one compiled program. Needs `jax`; uses the threads XLA takes (set by taskset).
"""

import json
import statistics
import sys
import time

import jax
import jax.numpy as jnp
from jax import lax, random

N, K, ENVS, STEPS, EPOCHS, MINIBATCHES = 2, 3, 8, 512, 4, 4
OBS, ACT, ROWS = 4 * N, 2 * N, ENVS * STEPS
GAMMA, LAMBDA, CLIP, ENTROPY, LR, NORM = 0.99, 0.95, 0.2, 0.01, 3.5e-3, 0.5


def init(key, outputs, gain):
    keys = random.split(key, 3)
    sizes = [(OBS, 64, 2**0.5), (64, 64, 2**0.5), (64, outputs, gain)]
    return [
        (jax.nn.initializers.orthogonal(g)(k, (i, o)), jnp.zeros(o)) for k, (i, o, g) in zip(keys, sizes)
    ]


def forward(params, x):
    for w, b in params[:-1]:
        x = jnp.tanh(x @ w + b)
    w, b = params[-1]
    return x @ w + b


def inner(params, theta):
    x, y, log_lr = theta
    gradient = jax.grad(lambda p: jnp.mean((forward(p, x) - y) ** 2))(params)
    return jax.tree.map(lambda p, g: p - jnp.exp(log_lr) * g, params, gradient)


def reset(key):
    return random.uniform(key, (ENVS, OBS), minval=-0.05, maxval=0.05)


def step(state, age, action, key):
    x, v, th, om = (state.reshape(ENVS, N, 4)[..., i] for i in range(4))
    force = jax.nn.one_hot(action // 2, N) * jnp.where(action % 2 == 1, 10.0, -10.0)[:, None]
    sin, cos = jnp.sin(th), jnp.cos(th)
    temp = (force + 0.05 * om**2 * sin) / 1.1
    alpha = (9.8 * sin - cos * temp) / (0.5 * (4 / 3 - 0.1 * cos**2 / 1.1))
    acc = temp - 0.05 * alpha * cos / 1.1
    after = [x + 0.02 * v, v + 0.02 * acc, th + 0.02 * om, om + 0.02 * alpha]
    after = jnp.stack(after, -1).reshape(ENVS, OBS)
    fell = jnp.any((jnp.abs(x) > 2.4) | (jnp.abs(th) > 0.2095), -1)
    cut = (age + 1 >= 500) & ~fell
    done = fell | cut
    return jnp.where(done[:, None], reset(key), after), jnp.where(done, 0, age + 1), after, fell, cut


def adam(value, gradient, state, t):
    norm = jnp.sqrt(sum(jnp.sum(g**2) for g in jax.tree.leaves(gradient)))
    gradient = jax.tree.map(lambda g: g * jnp.minimum(1.0, NORM / (norm + 1e-6)), gradient)
    first = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, state[0], gradient)
    second = jax.tree.map(lambda m, g: 0.999 * m + 0.001 * g**2, state[1], gradient)
    c1, c2 = 1 / (1 - 0.9**t), 1 / (1 - 0.999**t)
    value = jax.tree.map(
        lambda p, m, v: p - LR * m * c1 / (jnp.sqrt(v * c2) + 1e-5), value, first, second
    )
    return value, (first, second)


@jax.jit
def meta_epoch(carry, key):
    theta, critic, of_theta, of_critic, t = carry
    k_init, k_reset, k_rollout, k_shuffle = random.split(key, 4)
    fresh = init(k_init, ACT, 0.01)
    policy = inner(fresh, theta)

    def act(carry, key):
        state, age = carry
        k_act, k_step = random.split(key)
        logits = forward(policy, state)
        action = random.categorical(k_act, logits)
        log_prob = jnp.take_along_axis(jax.nn.log_softmax(logits), action[:, None], 1)[:, 0]
        following, age, after, fell, cut = step(state, age, action, k_step)
        return (following, age), (state, action, log_prob, after, fell, cut)

    start = (reset(k_reset), jnp.zeros(ENVS, jnp.int32))
    _, (states, actions, log_probs, afters, fell, cut) = lax.scan(act, start, random.split(k_rollout, STEPS))
    values, following = forward(critic, states)[..., 0], forward(critic, afters)[..., 0]

    def gae(carry, x):
        value, after, fell, cut = x
        advantage = 1.0 + GAMMA * after * (1 - fell) - value + GAMMA * LAMBDA * (1 - (fell | cut)) * carry
        return advantage, advantage

    flags = (fell.astype(jnp.int32), cut.astype(jnp.int32))
    _, advantages = lax.scan(gae, jnp.zeros(ENVS), (values, following, *flags), reverse=True)
    data = [a.reshape(ROWS, *a.shape[2:]) for a in (states, actions, log_probs, advantages, advantages + values)]

    def update(carry, rows):
        theta, critic, of_theta, of_critic, t = carry
        s, a, old, advantage, returns = (d[rows] for d in data)
        advantage = (advantage - advantage.mean()) / (advantage.std() + 1e-8)

        def loss(theta):
            log_policy = jax.nn.log_softmax(forward(inner(fresh, theta), s))
            ratio = jnp.exp(jnp.take_along_axis(log_policy, a[:, None], 1)[:, 0] - old)
            clipped = jnp.clip(ratio, 1 - CLIP, 1 + CLIP)
            entropy = -(jnp.exp(log_policy) * log_policy).sum(-1).mean()
            return -jnp.minimum(ratio * advantage, clipped * advantage).mean() - ENTROPY * entropy

        theta, of_theta = adam(theta, jax.grad(loss)(theta), of_theta, t)
        value_loss = jax.grad(lambda c: 0.5 * ((forward(c, s)[:, 0] - returns) ** 2).mean())
        critic, of_critic = adam(critic, value_loss(critic), of_critic, t)
        return (theta, critic, of_theta, of_critic, t + 1), None

    def policy_epoch(carry, key):
        return lax.scan(update, carry, random.permutation(key, ROWS).reshape(MINIBATCHES, -1))

    carry, _ = lax.scan(policy_epoch, (theta, critic, of_theta, of_critic, t), random.split(k_shuffle, EPOCHS))
    return carry, (fell | cut).sum()


def main():
    repetitions = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    key = random.PRNGKey(0)
    k_x, k_y, k_c, key = random.split(key, 4)
    theta = (random.normal(k_x, (K, OBS)), random.normal(k_y, (K, ACT)), jnp.array(0.0))
    critic = init(k_c, 1, 1.0)
    zeros = lambda tree: (jax.tree.map(jnp.zeros_like, tree), jax.tree.map(jnp.zeros_like, tree))
    carry = (theta, critic, zeros(theta), zeros(critic), jnp.array(1.0))
    times = []
    for i in range(repetitions + 3):
        key, k = random.split(key)
        started = time.perf_counter()
        carry, ended = meta_epoch(carry, k)
        jax.block_until_ready(carry)
        times.append(time.perf_counter() - started)
    print(json.dumps({"name": "jax meta-epoch", "seconds": statistics.median(times[3:])}))


if __name__ == "__main__":
    main()
