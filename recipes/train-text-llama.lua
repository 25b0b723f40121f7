-- Trains the character-level language model that ships in data/models: a llama of about a million weights on the first
-- part of a novel. The best epoch on the next part is kept; what is reported is measured on the end of the book.
recipe{
  name   = "train-text-llama",
  about  = "trains data/models/text-llama: 5 layers, width 128, grouped-query attention, on the characters of data/text",
  source = "Touvron et al., LLaMA (arXiv 2302.13971); grouped queries: Ainslie et al. (arXiv 2305.13245)",
}
local epochs = param("epochs", 6, {1, 100}, "passes over the training part")
local seed   = param("seed", 1, {0, 1000000}, "of the first weights and the order of windows")

local data = dataset(arg.data or "data/text")
local net  = new_model("llama", {
  dim = 128, ffn = 384, layers = 5, heads = 4, kv_heads = 2, entries = data.classes, context = 256,
  tie_word_embeddings = true, vocabulary = data.vocabulary,
}, seed)

train(net, {
  train = data.train, check = data.select, seed = seed,
  optimizer = "adamw", rate = 2e-3, beta2 = 0.95, weight_decay = 0.1, warmup = 0.05, final_rate = 0.05, clip = 1,
  epochs = epochs, batch = 16,
})

local row = evaluate(net, data.test)
report(row)
save(net, "text-llama.safetensors", {
  seed = seed, perplexity = string.format("%.4f", row.value), measured_on = "austen/test",
})
