// allocators: the table of allocators with their arguments, pages and sources.
#include "study/allocate.h"

#include <math.h>

static const base_arg exact_args[] = {{"states", BASE_INT, 4e6, 1e3, 1e8, NULL, NULL,
                                       "most states kept, 24 bytes each; beyond, the best known is given"}};
static const base_arg branch_args[] = {
    {"nodes", BASE_INT, 2e5, 1, 1e9, NULL, NULL, "most nodes; beyond, the best known is given"}};
static const base_arg hull_args[] = {
    {"fill", BASE_BOOL, 1, 0, 1, NULL, NULL, "spend what the hull leaves over on single upgrades"}};
static const base_arg greco_args[] = {
    {"buckets", BASE_INT, 10000, 10, 1e6, NULL, NULL, "steps of error"},
    {"error", BASE_NUM, 0, NAN, NAN, NULL, NULL, "total error asked for; not given: the least that fits the budget"}};
static const base_arg evolve_args[] = {{"generations", BASE_INT, 100, 1, 1e6, NULL, NULL, "generations"},
                                       {"offspring", BASE_INT, 32, 2, 1e4, NULL, NULL, "offspring a generation"},
                                       {"seed", BASE_INT, 0, 0, 9e15, NULL, NULL, "of the mutations"}};
static const base_arg anneal_args[] = {
    {"steps", BASE_INT, 20000, 1, 1e9, NULL, NULL, "moves tried"},
    {"start", BASE_NUM, 0.1, 1e-12, 1e6, NULL, NULL, "first temperature, fraction of the first loss"},
    {"end", BASE_NUM, 1e-5, 1e-12, 1e6, NULL, NULL, "last temperature, fraction of the first loss"},
    {"seed", BASE_INT, 0, 0, 9e15, NULL, NULL, "of the moves"}};
static const base_arg rco_args[] = {
    {"steps", BASE_INT, 400, 1, 1e6, NULL, NULL, "steps on the manifold"},
    {"rate", BASE_NUM, 0.1, 1e-6, 10, NULL, NULL, "step size of Adam"},
    {"seed", BASE_INT, 0, 0, 9e15, NULL, NULL, "of the sampled choices, where whole choices are measured"}};

#define ARGS(a) .args = a, .arg_count = sizeof a / sizeof *a

const study_allocator study_allocators[] = {
    {.name = "exact",
     .help = "least loss within the budget, proved, by dynamic programming",
     .about =
         "min sum loss[i][o_i] with sum cost[i][o_i] <= budget. The linear relaxation fixes most layers; the rest\n"
         "is enumerated by states (cost, loss) that no other dominates and whose Lagrangian bound is still\n"
         "below the best known choice. Exact to the byte; past the state limit it says so and gives its bound.",
     .source = "Pisinger, A minimal algorithm for the multiple-choice knapsack problem (EJOR 83, 1995)",
     .cost = "a table of losses and costs; milliseconds for a network",
     ARGS(exact_args),
     .exact = true,
     .solve = alloc_exact},
    {.name = "ilp",
     .help = "the same as an integer program, by branch and bound",
     .about =
         "HAWQ-V3's formulation: one 0/1 variable an option, one of them a layer, least summed sensitivity within\n"
         "size, bit operations or latency. Branch and bound on the linear relaxation.",
     .source = "HAWQ-V3 (arXiv 2011.10680), section 3.4; Sinha and Zoltners (Operations Research 27, 1979)",
     .cost = "a table of losses and costs; slower than exact on a thousand layers",
     ARGS(branch_args),
     .exact = true,
     .solve = alloc_branch},
    {.name = "hull",
     .help = "Lagrangian relaxation: one price a byte for all layers",
     .about = "Every layer takes the option with the least loss + price * cost; the price falls while the sum fits.\n"
              "Reaches only choices on the convex hull; fill spends the rest.",
     .source = "Everett (Operations Research 11, 1963); Shoham and Gersho (IEEE ASSP 36, 1988)",
     .cost = "a table; sorting",
     ARGS(hull_args),
     .solve = alloc_hull},
    {.name = "greedy",
     .help = "from the cheapest up, best gain a byte first",
     .about = "Repeats the one-step upgrade with the largest fall of loss a cost that still fits.",
     .source = "standard; as in HAWQ-V2's and AutoRound's comparisons",
     .cost = "a table",
     .solve = alloc_greedy},
    {.name = "baq",
     .help = "closed form: every weight brings the same loss",
     .about = "Fits loss = c 4^(-bits) to each layer, sets bits = mean + (log2 c - mean log2 c) / 2, rounds to the\n"
              "options there are and mends the sum to the budget. Costs must be bytes.",
     .source = "BAQ (arXiv 2506.05664)",
     .cost = "a table; one pass",
     .in_bits = true,
     .solve = alloc_baq},
    {.name = "waterfill",
     .help = "reverse water-filling: closed form with no negative bits",
     .about = "bits = (log2 c - log2 theta) / 2 within what the options allow, theta so that the sum is the budget.\n"
              "Costs must be bytes.",
     .source = "Cover and Thomas, Elements of Information Theory, 10.3.3",
     .cost = "a table; a bisection",
     .in_bits = true,
     .solve = alloc_waterfill},
    {.name = "lgreco",
     .help = "least bytes for a total error",
     .about = "Dynamic programming over steps of error: the least cost of the first layers for each error. Give error\n"
              "for the least bytes at it; else the least error whose bytes fit.",
     .source = "L-GreCo (arXiv 2210.17357), algorithm 1",
     .cost = "a table; layers x options x buckets",
     ARGS(greco_args),
     .solve = alloc_lgreco},
    {.name = "evopress",
     .help = "evolution at an exact budget, on the measured loss where there is one",
     .about = "(1 + offspring) evolution; a mutation raises one layer and lowers others so that the budget is kept;\n"
              "selection in stages of rising effort. With measure the whole model is looked at, so errors that do\n"
              "not add up over layers are seen.",
     .source = "EvoPress (arXiv 2410.14649)",
     .cost = "generations x offspring evaluations, most of them on an eighth of the samples",
     ARGS(evolve_args),
     .solve = alloc_evolve},
    {.name = "rco",
     .help = "descent on the manifold of choices that meet the budget on average",
     .about = "Softmax over each layer's options; the expected cost equal to the budget is a manifold: Adam steps are\n"
              "projected to its tangent, retracted by shifting logits along the costs, the momentum transported.",
     .source = "RCO (arXiv 2605.00649)",
     .cost = "steps passes over the table; with measure one evaluation a step",
     ARGS(rco_args),
     .solve = alloc_rco},
    {.name = "anneal",
     .help = "simulated annealing",
     .about = "Level switches, accepted when better or with probability exp(-rise / T), T falling geometrically.",
     .source = "Kirkpatrick, Gelatt and Vecchi (Science 220, 1983), as exllamav2 allocates its bits",
     .cost = "steps evaluations",
     ARGS(anneal_args),
     .solve = alloc_anneal},
};
const size_t study_allocator_count = sizeof study_allocators / sizeof *study_allocators;
