/* A lower bound for the time of stepping Gymnasium's environments: MuJoCo called from C, for bench/steps.rs.
 *
 *     loop MODEL FRAMES COPIES STEPS SEED LOW HIGH NOISE [Z MIN MAX ANGLE]
 *
 * Steps COPIES simulations in turn, STEPS times, with actions drawn uniformly between LOW and HIGH, and writes observations
 * of positions and velocities in single precision. An episode starts with uniform noise of at most NOISE. It ends after
 * 1000 steps, or when position Z is not between MIN and MAX or the next position is beyond ANGLE (0: no limit). Prints
 * the seconds of CPU time.
 */
#include <math.h>
#include <mujoco/mujoco.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static uint64_t state;

static double uniform(void) { /* SplitMix64, as in the plugin */
    uint64_t z = state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (double)((z ^ (z >> 31)) >> 11) * 0x1p-53;
}

static void start(const mjModel *m, mjData *d, double noise) {
    mj_resetData(m, d);
    for (int i = 0; i < m->nq; i++) d->qpos[i] += noise * (2 * uniform() - 1);
    for (int i = 0; i < m->nv; i++) d->qvel[i] += noise * (2 * uniform() - 1);
    mj_forward(m, d);
}

int main(int count, char **argument) {
    if (count < 9) return 2;
    char error[1000];
    const mjModel *m = mj_loadXML(argument[1], NULL, error, sizeof error);
    if (!m) return fprintf(stderr, "%s\n", error), 1;
    int frames = atoi(argument[2]), copies = atoi(argument[3]), steps = atoi(argument[4]);
    state = (uint64_t)atoll(argument[5]);
    double low = atof(argument[6]), high = atof(argument[7]), noise = atof(argument[8]);
    int z = count > 9 ? atoi(argument[9]) : -1;
    double least = z < 0 ? 0 : atof(argument[10]), most = z < 0 ? 0 : atof(argument[11]);
    double angle = z < 0 ? 0 : atof(argument[12]);
    mjData **data = calloc(copies, sizeof *data);
    int *ages = calloc(copies, sizeof *ages);
    float *observation = calloc(m->nq + m->nv, sizeof *observation);
    volatile double total = 0;
    for (int i = 0; i < copies; i++) start(m, data[i] = mj_makeData(m), noise);
    struct timespec from, to;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &from);
    for (int s = 0; s < steps; s++)
        for (int i = 0; i < copies; i++) {
            mjData *d = data[i];
            double cost = 0;
            for (int a = 0; a < m->nu; a++) {
                d->ctrl[a] = low + (high - low) * uniform();
                cost += d->ctrl[a] * d->ctrl[a];
            }
            double before = d->qpos[0];
            for (int f = 0; f < frames; f++) mj_step(m, d);
            mj_rnePostConstraint(m, d);
            for (int k = 0; k < m->nq; k++) observation[k] = (float)d->qpos[k];
            for (int k = 0; k < m->nv; k++) observation[m->nq + k] = (float)fmax(-10, fmin(10, d->qvel[k]));
            total = total + (d->qpos[0] - before) - 1e-3 * cost;
            int fell = z >= 0 && (d->qpos[z] < least || d->qpos[z] > most ||
                                  (angle > 0 && fabs(d->qpos[z + 1]) > angle));
            if (++ages[i] >= 1000 || fell) start(m, d, noise), ages[i] = 0;
        }
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &to);
    printf("%.9f\n", (double)(to.tv_sec - from.tv_sec) + 1e-9 * (double)(to.tv_nsec - from.tv_nsec));
    return 0;
}
