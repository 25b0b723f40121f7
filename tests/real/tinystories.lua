-- TinyStories, validation part: 556 stories as ids of a 512-token vocabulary (R. Eldan and Y. Li, arXiv:2305.07759).
-- One story a sequence, from BOS on; a story never lies in two parts.
return {
  name = "tinystories",
  folder = real("datasets/tinystories_val"),
  data = { file = "tok512_u16.npy", format = "tokens" },
  bos = 1,
  vocabulary_size = 512,
  split = {0.3, 0.1, 0.6},
  seed = 1,
}
