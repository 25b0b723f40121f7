-- checkpoint: what architecture files ask about the tensors of a file.
local M = {}

-- "layers.10.fc" sorts after "layers.9.fc": runs of digits compare as numbers.
local function key(name)
  local parts = {}
  for text, digits in (name .. "\0"):gmatch("([^%d]*)(%d*)") do
    parts[#parts + 1] = { text, digits ~= "" and tonumber(digits) or -1 }
  end
  return parts
end

local function before(a, b)
  for i = 1, math.min(#a, #b) do
    if a[i][1] ~= b[i][1] then return a[i][1] < b[i][1] end
    if a[i][2] ~= b[i][2] then return a[i][2] < b[i][2] end
  end
  return #a < #b
end

-- The modules of a file in natural order of their names: {name, weight = tensor, bias = tensor, running_mean = ...}.
function M.modules(tensors)
  local list, by_name = {}, {}
  for _, t in ipairs(tensors) do
    local name, part = t.name:match("^(.*)%.([^.]+)$")
    if not name then name, part = "", t.name end
    local m = by_name[name]
    if not m then
      m = { name = name, key = key(name) }
      by_name[name] = m
      list[#list + 1] = m
    end
    m[part] = t
  end
  table.sort(list, function(a, b) return before(a.key, b.key) end)
  return list
end

-- The numbers in a name, "block2.bn3" -> "2.3": which normalisation belongs to which layer.
function M.numbers(name)
  local n = {}
  for digits in name:gmatch("%d+") do n[#n + 1] = digits end
  return table.concat(n, ".")
end

-- "64x3x7x7"
function M.shape(t)
  local dims = {}
  for i = 1, #t do dims[i] = string.format("%d", t[i]) end
  return table.concat(dims, "x")
end

-- Whether a module is a batch normalisation of `width` channels.
function M.is_norm(m)
  return m.running_mean ~= nil and m.running_var ~= nil and #m.running_mean == 1
end

-- A whole number of at least `least` from config field `field`, or an error that names it.
function M.whole(config, field, least)
  local v = config[field]
  if math.type(v) ~= "integer" or v < (least or 1) then
    error(string.format("config: %s is %s, expected a whole number of at least %d", field, tostring(v), least or 1), 0)
  end
  return v
end

return M
