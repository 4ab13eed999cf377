"""Plots of things: lost, found, broken and mended."""

from __future__ import annotations

from litgpt_zh.corpus.world.engine import World, plot

SPOTS = "长椅旁边 大树旁边 草丛里 石头后面 篱笆旁边 小水沟旁边 灌木丛里 小路边 木桩旁边 石凳旁边"
PARTS = {"辆": "轮子 车轮 后轮", "架": "机翼 尾巴"}
LIMBS = ("机器人", "木偶", "木马")
TOOLS = "锤子 钳子 螺丝刀 扳手 镊子 工具箱 钉子 铁丝 绳子 胶带 木条"


def _spots(w: World) -> str:
    """The spots that are not named like the place itself."""
    place = w.slot("p")
    return " ".join(spot for spot in SPOTS.split() if spot[:2] != place.word[:2])


@plot("丢失的玩具")
def lost_toy(w: World) -> None:
    """A toy is lost on an outing; going back over the day's way finds it."""
    w.scene(occasions="春游 秋游 儿童节")
    w.hero("h")
    w.friend("f")
    w.pick("x", "thing", "toy", "losable", "-tool")
    w.place("p", "stroll")
    w.put("spot", _spots(w))
    hint = w.flag("伏笔", 0.5)
    w.tell(
        "{when}{h}带着{x.onea}去{p.in}玩。",
        "{h}有{x.onea}，{at}{h}带着这件宝贝来到{p.in}。",
        "{x.onea}是{h}最喜欢的玩具。{when}{h}把{x}带到了{p.in}。",
        "{when}{p.in}[很热闹|十分安静]，{h}带着心爱的{x}来了。",
        "{when}{h}和{f}约好去{p.in}{*activity:games}，{h}还带上了{x.onea}。",
    )
    if hint:
        w.tell(
            "玩累了，{h}在{spot}歇了一会儿。",
            "路上，{h}在{spot}停下来喝水。",
            "{h}[跑着跑着|走着走着]，在{spot}摔了一跤，{h.auto}拍拍[身上的|]土又跑了。",
            "{h}蹲在{spot}看{*animal:insect,-fierce}，看了好久。",
        )
    w.more(
        "{sky}。",
        "{h}一会儿{*activity:solo=a1}，一会儿{*activity:solo=a2}，玩得忘了时间。",
        "路边开着{*plant:flower}，树上有{*animal:bird.one}在唱歌。",
    )
    w.para()
    w.tell(
        "回家的时候，{h}[忽然|突然]发现{x}不见了。",
        "可是天快黑时，{h}一摸口袋，{x}没有了！",
        "[没想到|谁知道]，{h}一转身，{x.that}就不见了。",
        "要回家了，{h}找来找去，就是找不到{x.that}。",
    )
    w.tell(
        "{*idiom:sad@h}。",
        "{*idiom:silent@h}，眼泪快要掉下来了。",
        "{h}急得[直跺脚|快哭了|团团转|满头大汗]。",
        "{*idiom:worried@h}。",
        "{h.auto}{*mood:downcast.very}，眼泪[在眼眶里打转|一颗一颗掉下来]。",
        "<h.cry 我的{x}丢了！>",
        "{h}又{*mood:worried}又{*mood:downcast}。",
    )
    w.more(
        "{*idiom:look@h}，[可是什么也没有|一点影子也没看到]。",
        "{h.auto}东跑跑，西看看，[越找越急|连蚂蚁洞都看了]，什么也没找到。",
        "{h.auto}翻遍了口袋，只找到[一张糖纸|一颗纽扣|一张旧车票|几颗小石子]。",
        "{h}见谁问谁，可是[谁都没看见|大家都摇头]。",
    )
    w.para()
    w.tell(
        "<f.comfort 别急，我们[沿着|顺着]来时的路[慢慢|一步一步]找。>",
        "{f}走过来说：“想一想，你今天去过哪些地方？”",
        "{f}看见了，[决定|马上]陪{h}沿着原路往回找。",
        "{f}拉着{h}[往回走|原路返回]，一步一步地找。",
        "<f.comfort 别哭，我陪你从头找一遍。>",
    )
    w.some(
        "{f}{*manner:examine}地看每一个角落，还搬开了[石头|木板|树枝]。",
        "{h&f.auto}一边走一边回想，[谁也不肯放弃|看得可仔细了]。",
        "{f}还借来{*thing:lamp.one}，照亮了脚下的路。",
    )
    if hint:
        w.tell(
            "走到{spot}，{h}想起自己[刚才|先前]在这儿待过，低头一看，{x}[果然|真的]在那里！",
            "果然，{x}就[躺|落]在{spot}，是{h}[刚才|先前]不小心落下的。",
            "<h.shout 对了，我在{spot}停过！>{h&f.ta}跑过去，{x}[正|就]在那里呢。",
        )
    else:
        w.tell(
            "[最后|终于]，{h&f.ta}在{spot}找到了{x.that}。",
            "走到半路，{f}[忽然|一下子]看见{x}就在{spot}。",
            "<f.shout 快看，{spot}有东西！>{h}跑过去一看，正是{x.thata}。",
            "找啊找，{x}[原来|竟然]好好地[躺|待]在{spot}。",
        )
    w.more(
        "{h}把{x}[紧紧|小心地]抱在怀里，怎么也不肯放手。",
        "{h}擦干净{x}，笑得像{*plant:flower.one}。",
        "{*idiom:glad@h}，拉着{f}的手[转起圈来|又蹦又跳]。",
    )
    w.tell(
        "{h}{*mood:grateful.very}。<h.glad 谢谢你，{f.call}！>",
        "{h}[抱着|捧着]{x}，对{f}说了好多声谢谢。",
        "{*idiom:grateful@h}。",
        "{h&f.ta}{*manner:home}地回家了。",
        "{h&f.ta}说说笑笑地回家了。",
        "{h}请{f}吃了{*food:snack,-drink.one}，两个朋友都{*mood:glad.very}。",
        "从此，{h}出门前都要把{x}收好。",
    )
    w.moral("things", "thanks", probability=0.3)
    w.sum(
        "{h}把{x}弄丢了，{f}陪{h}沿着原路找，最后在{spot}找到了。",
        "{h}在{p.in}弄丢了{x}，在{f}的帮助下，{h}在{spot}找回了它。",
        "{h}丢了心爱的{x}，和{f}一起往回找，终于把{x}找了回来。",
    )


@plot("捡到的东西")
def found_thing(w: World) -> None:
    """A found treasure tempts; giving it back brings thanks."""
    w.hero("h")
    if w.animals:
        w.elder("o")
    else:
        w.adult("o", "neighbor")
    w.pick("x", "thing", "treasure", "losable", "-sport")
    w.place("p", "stroll")
    w.put("spot", _spots(w))
    w.tell(
        "{when}{h}在{p.in}的{spot}捡到了{x.onea}。",
        "{when}{h}路过{p}，看见{spot}有{x.one}。",
        "{h}正在{p.in}{*activity:solo}，忽然发现{spot}有{x.onea}。",
        "{when}{p.in}的{spot}有什么东西，{h}捡起来一看，是{x.onea}。",
    )
    w.tell(
        "{h}从来没见过这么好的{x}，很想留下来。",
        "{h}[翻来覆去地看|看了又看]，真舍不得放下。",
        "这东西[太好看了|真漂亮]，{h}真想把它带回家。",
        "{h}[高兴|欢喜]得[跳了起来|差点叫出声]，可又想：它的主人一定很着急。",
        "<h.glad 要是它是我的，该多好啊！>",
        "{h}眼睛都亮了，把{x}[捧|拿]在手里[看了半天|左看右看]。",
    )
    w.more(
        "{sky}，{p.in}静悄悄的，谁也没有看见。",
        "{h}想起妈妈说过：别人的东西再好，也不能拿。",
        "{h.auto}想把{x}带回家，和自己的{*thing:toy.one}放在一起。",
    )
    w.para()
    w.more(
        "{h}走了几步，又停下来，心里[乱糟糟的|像有两个小人在吵架]。",
        "{h}越走越慢，心里很不是滋味。",
    )
    w.tell(
        "这时，{o}[急匆匆地|慌慌张张地]走来，[东张西望|低着头到处找]。",
        "不远处，{o}正弯着腰找东西，急得[满头大汗|直叹气]。",
        "过了一会儿，{o.one}走过来问：“[你看见|有谁看见]{x.one}了吗？”",
        "<o.worry 我的{x}不见了，那是我最珍贵的东西。>",
        "远远地，{h}听见{o}在叹气，说丢了{x.one}。",
    )
    greedy = w.flag("坏结局", 0.18)
    if greedy:
        w.tell(
            "{h}[低下头|红着脸]，什么也没说，把{x}带回了家。",
            "{h}摇摇头说没看见，转身跑了。",
            "{h}小声说：“我没看见。”说完就跑了。",
            "{h}没有作声，[攥紧|捂住]{x}跑回了家。",
        )
        w.more(
            "晚上，{h}把{x}放在枕头边，怎么也睡不着。",
            "{h}不敢把{x}拿给别人看，只好藏在{*thing:container,-fragile.one}里。",
        )
        w.tell(
            "第二天，{h}[再去看|打开一看]，{x}已经摔坏了，{h.auto}[难过得哭了|后悔极了]，可什么都晚了。",
            "后来大家都知道了这件事，再也没有谁愿意相信{h}。",
            "从那天起，{h}一看见{o}就躲开，{x}再也没让{h.ta}高兴过。",
        )
        w.moral("giveback", probability=0.5)
        w.sum(
            "{h}捡到{o}丢的{x}却没有还，结果自己一点也不快乐。",
            "{h}在{p.in}捡到{x}，瞒着{o}带回了家，最后很后悔。",
        )
        return
    w.tell(
        "{*idiom:honest@h}。{h.auto}马上把{x}还给了{o}。",
        "{h}连忙跑过去，把{x}[还给了|交给]{o}。",
        "<h.say 这是我捡到的，给您。>",
        "{h}[想了想|咬咬嘴唇]，双手把{x}递了过去。",
        "“这{x.m}{x}是您的吗？”{h}一边问，一边把{x}递了过去。",
        "{h}拿出{x}，说是在{spot}捡到的。",
    )
    w.tell(
        "{*idiom:thankleave@o}。",
        "{o}{*manner:kind}地摸了摸{h}的头。",
        "{o}[接过{x}|擦擦眼睛]，[夸{h}是个诚实的好孩子|连声道谢]。",
        "<o.glad 太谢谢你了，你真是个{*trait:honest}的孩子！>",
        "{*idiom:moved@o}，[还|又]送给{h}{*food:snack,-drink.one}。",
        "{o}的脸上[一下子|终于]露出了笑容，还送给{h}{*thing:thanks.one}。",
    )
    w.more(
        "原来，{x.that}是{o}小时候得到的礼物，已经跟了{o.ta}很多年。",
        "<o.soft 这是一个老朋友留给我的，比什么都宝贵。>",
    )
    w.tell(
        "{h}心里[暖洋洋的|甜甜的]，比得到{x}还[高兴|开心]。",
        "回家的路上，{h}觉得[脚步|身子]特别轻，{*mood:glad.very}。",
        "{h}把这件事告诉了家里人，大家都[夸奖|称赞]{h.ta}。",
        "{h}笑了，心想：做对的事[真好|真快乐]。",
        "{*idiom:praised@h}。",
        "那天晚上，{*idiom:peace@h}。",
    )
    w.moral("giveback", probability=0.45)
    w.sum(
        "{h}在{p.in}捡到{x}，把它还给了着急的{o}。",
        "{h}捡到了{o}丢失的{x}，虽然很喜欢，还是还给了{o}。",
    )


@plot("打碎的东西")
def broken(w: World) -> None:
    """Something fragile is broken in play; owning up, or hiding it, has its price."""
    w.hero("h")
    w.elder("e")
    w.pick("x", "thing", "crockery")
    w.put("b", "皮球 足球 篮球 排球 乒乓球 网球 弹力球 飞盘 棒球 铁环")
    w.tell(
        "{e}有{x.onea}，谁也不许碰。{when}{h}却在旁边玩起了{b}。",
        "{when}{h}在屋里玩{b}，{b}一下子飞了出去。",
        "{when}{e}出门了，{h}独自在屋里玩{b}。",
        "{when}{h}[不听劝|忘了{e}的话]，又在屋里玩起了{b}。",
        "{e}[出门前|临走时]说过，不要在屋里玩{b}，{h}还是[玩了起来|忍不住玩了]。",
    )
    w.more(
        "{h}不愿意[到外面去|出门]，一个劲地在屋里玩。",
        "{h.auto}玩得太高兴了，[什么都忘了|越玩越用力]。",
        "墙边有[一张桌子|一个柜子|一个书架]，上面放着{x.one}。",
    )
    w.tell(
        "只听{x.crash}一声，{x}[掉在地上摔碎了|被撞到地上，碎了]。",
        "一不小心，{b}撞倒了{x}，{x}[碎成了好几块|摔成了碎片]。",
        "忽然，{b}[撞|碰]上了{e}的{x}，碎片落了一地。",
        "{b}一歪，[正好|恰好]打中了{e}的{x}，{x}碎了。",
    )
    w.tell(
        "{h}装作没事的样子，心里却{*mood:fearful.very}。",
        "{h}吓得赶紧{*action:flinch}。",
        "{h}吓得[脸都白了|心怦怦直跳|不敢动了]。",
        "{*idiom:scared@h}。",
        "{h}又{*mood:fearful}又{*mood:sorrow}，不知道怎么办才好。",
        "<h.worry 糟了，这下怎么办？>",
    )
    w.para()
    hides = w.flag("坏结局", 0.2)
    if hides:
        w.tell(
            "{h}把碎片[藏在|塞进]床底下，说是{*animal:pet,runs}打碎的。"
            if not w.animals
            else "{h}把碎片塞进床底下，说是风吹的。",
            "{h}悄悄扫起碎片，[扔进了垃圾堆|埋在院子里]，什么也没说。",
            "{e}问起来，{h}摇摇头，说不是自己干的。",
        )
        w.more(
            "可是{e}看见了{h}手上的[小口子|灰]，什么都明白了。",
            "晚饭时，{h}低着头，连最爱吃的{*food:cooked}也吃不下。",
        )
        w.tell(
            "{e}早就看见了一切，[伤心地|失望地]走开了，整整一天没有说话。",
            "后来{e}找到了碎片，伤心极了，{h}说什么[{e.ta}|{e}]都不再相信。",
            "谎话很快被[看穿|识破]了，{e}难过的不是{x}，而是{h}没有说真话。",
        )
        w.moral("lies", probability=0.5)
        w.sum(
            "{h}玩{b}打碎了{e}的{x}，却不肯承认，让{e}很伤心。",
            "{h}打碎{x}以后说了谎，结果失去了{e}的信任。",
        )
        return
    w.more(
        "{h}想把碎片藏起来，可是[手停在了半空|心里很不安]。",
        "{h}想：要是说谎，{e}会更难过的。",
    )
    w.tell(
        "{*idiom:courage@h}，[走到{e}面前认了错|向{e}说了实话]。",
        "{h}{*manner:confess}地向{e}认了错。",
        "{e}回来了，{h}[走上前|低着头]说：“对不起，{x}是我打碎的。”",
        "<h.sorry {e.call}，是我不小心打碎了{x}。>",
        "{h}鼓起勇气，把事情[一五一十地|原原本本地]告诉了{e}。",
        "等{e}一进门，{h}就红着脸承认了错误。",
    )
    w.tell(
        "{e}没有[生气|发火]，反而[摸摸|拍拍]{h}的头。",
        "<e.soft {x}碎了[不要紧|没关系]，你说了真话，我很高兴。>",
        "{e}[蹲下来|笑了笑]，先看{h}有没有受伤。",
        "{e}叹了口气，可还是[原谅了|抱了抱]{h}。",
    )
    w.some(
        "{e}和{h}一起扫干净了碎片。",
        "{h&e.ta}用胶水把碎片[一块一块|慢慢]粘起来，{x}又站住了。",
        "{h}把自己心爱的{*thing:toy,losable}拿出来，说要赔给{e}。",
    )
    w.tell(
        "{e}说，{*idiom:mended@h}，比什么都好。",
        "后来，{h}再也不在屋里玩{b}了。",
        "第二天，{h}画了{*thing:cards.one}送给{e}，{e}笑了。",
        "{h}心里的石头落了地，{h.auto}决定以后[更小心|只在外面玩{b}]。",
        "从此，{h}要玩{b}就到{*place:stroll.in}去。",
    )
    w.moral("confess", probability=0.4)
    w.sum(
        "{h}在屋里玩{b}打碎了{e}的{x}，勇敢地承认了错误，{e}原谅了{h}。",
        "{h}打碎了{x}，没有说谎，得到了{e}的原谅。",
    )


@plot("修好的玩具")
def mend(w: World) -> None:
    """A worn toy breaks; with a tool and a patient helper it is mended."""
    w.hero("h")
    w.elder("e")
    w.pick("x", "thing", "toy", "fixable", "losable")
    w.put("t", TOOLS)
    w.put("part", PARTS.get(w.slot("x").measure, "有一处 边上"))
    if w.slot("x").word in LIMBS:
        w.put("part", "一条腿 后背 脚上")
    soft = w.slot("x").has("soft")
    if w.slot("x").has("round"):
        w.put("part", "有一处 边上")
        w.put("t", "针线 胶带")
    if soft:
        w.put("part", "一只耳朵 一条胳膊 肚皮 一条腿 后背")
        w.put("t", "针线 剪刀和针线 针线盒")
    w.tell(
        "{when}{h}最爱的{x}坏了，{part}[裂了一道口子|破了一大块]。",
        "{h}的{x}玩了很久，{at}{part}突然裂开了。",
        "只听{x.crash}一声，{h}的{x}摔在地上，{part}裂开了。",
        "{when}{h}正玩着{x}，没想到{part}裂开了。",
    )
    w.tell(
        "{h}[拿起|翻出]胶水自己粘，可是一松手又[掉|散]了。",
        "{h}想自己修，结果越修越[糟|乱]。",
        "{h}试了一次又一次，怎么也[修|弄]不好。",
        "<h.sad 它再也不能陪我玩了。>",
        "{h}用力一按，{x}坏得更厉害了，{h}{*mood:downcast.very}。",
    )
    w.more(
        "大家都劝{h}不要再修了，可是{h}[使劲摇头|舍不得]。",
        "{h}想起和{x}一起度过的日子，[鼻子酸酸的|更舍不得了]。",
        "这{x.m}{x}是{h}过生日时得到的礼物，{h}每天睡觉都要[带着|放在枕边]。",
    )
    w.para()
    w.tell(
        "{e}拿来了{t}，[坐下来|戴上眼镜]仔细地看。",
        "<e.soft 让我看看，也许还能修好。>{e}拿来了{t}。",
        "{e}放下手里的活儿，找出了{t}。",
        "这时，{e}[走过来|推门进来]，手里拿着{t}。",
        "<e.say 东西坏了不要紧，我们来修一修。>{e}找来了{t}。",
    )
    w.some(
        "{*idiom:stare@h}。",
        "{h}在一旁[递东西|看着]，连大气也不敢出。",
        "{e}{*manner:work}地修着，额头上冒出了汗珠。",
        "{h}学着{e}的样子，{*manner:handle}地[扶住|按住]{x}。",
    )
    w.tell(
        "[不一会儿|没过多久|一个下午过去了]，{x}又[和新的一样了|能玩了]。",
        "{*idiom:deft@e}，[不一会儿|没多久]就把{x}修好了。",
        "{h}在一旁看得入神，{e}{*manner:handle}地摆弄了一会儿，{x}就好了。",
        "{e}教{h}一点一点地修，{x}[终于|总算]修好了。",
        "{h&e.ta}一起忙了半天，{x}[修好了|又变得好好的]。",
        "{e}一针一线地缝，{x}[很快|慢慢]就缝好了。" if soft else "{e}这里看一看，那里[粘|补]一补，{x}就修好了。",
    )
    twist = w.flag("转折", 0.3)
    if twist:
        w.tell(
            "更想不到的是，{e}还在{x}上[绣|缝]了一朵小花，比原来更[好看|特别]了。"
            if soft
            else "更想不到的是，{e}还在{x}上写了{h}的名字，比原来更[好看|特别]了。",
            "谁知道，{e}找{t}的时候，还翻出了{*thing:trinket.one}，正是{h}找了好久的！",
            "没想到，{e}还拿出{*thing:ornament.one}送给{h}，大家都羡慕极了。",
        )
    w.more(
        "{*idiom:glad@h}，抱着{x}[亲了又亲|转了好几圈]。",
        "<h.glad {e.call}，您的手真巧！>",
    )
    w.tell(
        "{h}学会了修东西，后来还帮伙伴修好了{*thing:toy,fixable,losable.one}。",
        "<h.glad 谢谢{e.call}！>",
        "{*idiom:grateful@h}。",
        "{h}{*manner:hold}地抱着{x}，怎么也不肯放下。",
        "{h}比以前更爱惜{x}了，每次玩完都[收好|放回原处]。",
        "{h}说，以后一定要{*manner:well}爱惜{x}。",
        "{h}[高兴|开心]地说，以后要[跟|向]{e}学修东西。",
    )
    w.moral("things", "thankful", probability=0.3)
    w.sum(
        "{h}的{x}坏了，{e}用{t}帮{h}把它修好了。",
        "{h}心爱的{x}坏了，自己修不好，后来和{e}一起修好了。",
    )
