-- Handwritten digits, 8 x 8 pixels of 0..16, 1,797 images; see README.md for where they come from.
return {
  name = "digits",
  data = "digits.csv",          -- 64 pixels and the digit in the last column
  header = false,
  shape = {1, 8, 8},
  scale = 1/16,
  classes = {"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"},
  split = {0.7, 0.1, 0.2},      -- calib, select, test; each class in these proportions
  seed = 1,
}
