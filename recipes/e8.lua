-- Eight weights share sixteen bits that name a point of the densest lattice of eight dimensions. ResNet-20 / CIFAR-10,
-- 256 images: 91.6 % of 91.5, KL 0.087 at 2.07 bits a weight (trellis: 0.044; gptq: 0.79, with
-- range = "minmax" 0.33). kind = lattice takes any point
-- of the lattice and an entropy coder: KL 0.047 at 2.12 bits, 0.087 at 1.67 (bits = 1.5).
-- stories260K, 64 stories: perplexity 16.3 of 3.69 at 3.25 stored bits; lattice 20.9 at 3.19.
recipe{
  name   = "e8",
  about  = "the lattice code E8P behind a Hadamard rotation of each layer's inputs, with block feedback",
  source = "Tseng et al., QuIP# (ICML 2024, arXiv 2402.04396), without fine-tuning; lattice: Gersho 1979",
}
local bits    = param("bits", 2.0, {0.5, 6.0}, "bits a weight; e8p: 2, 3 or 4")
local kind    = param("kind", "e8p", {"e8p", "lattice"}, "16 bits for eight weights, or any point, entropy-coded")
local along   = param("along", "auto", {"auto", "row", "column"}, "eight inputs of a row as in QuIP#, or eight rows at one input")
local passes  = param("passes", 2, {0, 20}, "times that all runs are chosen again")
local samples = param("samples", 256, {1, 100000}, "calibration samples")

local net  = model(arg.model or "data/models/digits-cnn.safetensors")
local data = dataset(arg.data or default_data(net))

compress(net, {
  calibrate = data.calib:sample(samples, 1),
  rule("first|last", quantize{ bits = 8 }),
  kind == "e8p" and rule(".*", rotate{}, e8{ bits = bits, along = along, passes = passes })
    or rule(".*", rotate{}, e8{ bits = bits, along = along, passes = passes, code = "lattice", scales = "layer" },
                  code{ coder = "cabac" }),
})

report(evaluate(net, data.test))
save(net, "e8.safetensors")
