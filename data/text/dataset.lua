-- Pride and Prejudice, character by character; see README.md for where it comes from and how it was prepared.
return {
  name = "austen",
  data = "pride-and-prejudice.txt",
  level = "char",
  -- Every character of the text, in id order: a text with any other character is refused with its line and column.
  vocabulary = "\n !\"'(),-.0123456789:;?ABCDEFGHIJKLMNOPRSTUVWYZabcdefghijklmnopqrstuvwxyz",
  window = 256,                 -- characters a sequence predicts
  split = {0.88, 0.04, 0.08},   -- calib, select, test: the beginning, then the next part, then the end of the book
}
