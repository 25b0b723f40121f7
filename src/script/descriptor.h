// Private to script/: dataset descriptors - a Lua table that says what the files are, their roles and the scaling.
#ifndef VISE_SCRIPT_DESCRIPTOR_H
#define VISE_SCRIPT_DESCRIPTOR_H

#include <lua.h>

#include "script/script.h"

// The table at `index` as a spec; relative paths count from `folder`. Never raises: a recipe's own functions may call
// it while they hold other things.
data_spec *script_dataset_table(lua_State *L, int index, const char *folder, base_err *err) BASE_MUST_USE;
// real("datasets/cifar10"): a path below $VISE_REAL, else ../shared/real beside the checkout. A lua_CFunction; raises
// when it is not there.
int script_real(lua_State *L);

#endif
