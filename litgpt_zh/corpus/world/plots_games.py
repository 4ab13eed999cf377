"""Plots of games: copying, guessing, hiding, dressing up."""

from __future__ import annotations

from litgpt_zh.corpus.world.engine import World, plot


@plot("照我做的游戏")
def copy_game(w: World) -> None:
    """A game of copying gestures; the one who cannot keep up finds a new way to play."""
    w.hero("h")
    w.friend("f")
    w.friend("g")
    w.place("p", "park")
    w.let("a1", "{*action:pose}")
    w.let("a2", "{*action:pose}")
    w.let("a3", "{*action:pose}", "{*action:hop}")
    w.tell(
        "{when}{h}、{f}和{g}在{p.in}玩照我做的游戏。",
        "{when}{f}站在最前面当领头，{h}和{g}跟着学。",
        "{p.in}，{f}想出了一个新游戏：领头的做什么，大家就做什么。",
        "<f.shout 来，我做什么，你们就做什么！>",
    )
    w.tell(
        "{f}先{a1}，再{a2}，最后{a3}。",
        "一开始是{a1}，接着是{a2}，后来是{a3}，越来越快。",
        "{f}带头{a1}、{a2}，接着又{a3}，一下也不停。",
        "第一下{a1}，第二下{a2}，第三下{a3}，可难记了。",
    )
    w.tell(
        "{h}总是跟不上，不是慢了就是错了，大家都笑了。",
        "{h}记错了，把{a2}做成了{a3}，[惹得|逗得]{g}哈哈大笑。",
        "{h}忘了下一个是什么，只好[站着|愣着]不动。",
        "轮到{h}的时候，{h}脚下一滑，就{*action:fall}了。",
    )
    quarrel = w.flag("冲突", 0.35)
    if quarrel:
        w.tell(
            "“你[又|老是]做错，不跟你玩了！”{g}说。{h}{*mood:angry.very}，和{g}吵了起来。",
            "{g}说{h}笨，{h}说{g}坏，{duo}谁也不理谁了。",
        )
    else:
        w.tell(
            "{h}{*mood:bashful.very}，[脸一下子红了|真想躲起来]。",
            "<h.sad 我太笨了，不玩了。>",
        )
    w.para()
    w.tell(
        "{f}想了想说：“这次换你来当领头！”",
        "{f}拉住{h}说：“别走，我们慢一点。”",
        "{f}让{h}站到最前面，由{h}来想动作。",
        "{f}看见了，[马上|连忙]把游戏变了变：谁都可以想一个新动作。",
    )
    w.more(
        "{sky}，三个的影子在地上一起[晃来晃去|动来动去]。",
        "旁边的{*animal:bird,small}也跟着点头，好像在学呢。",
        "{h}想了想，[有了主意|眼睛亮了]。",
    )
    w.tell(
        "{h}想了一个谁也没见过的动作：一边{*action:hop}，一边{*action:wave}。",
        "{h}学起了走路摇摇摆摆的{*animal:waddle}，大家都跟着学。",
        "没想到，{h}做的[怪样子|动作]最有趣，[大家都抢着学|谁也学不像]。",
        "这一回，{h}先{*action:pose}，又{*action:hop}，大家学得手忙脚乱。",
    )
    w.tell(
        "{h&f&g.ta}笑得[直不起腰|倒在草地上]，谁也不记得谁做错过。",
        "{g}也[笑了|不好意思地笑了]，说：“这个真好玩！”",
        "大家都忍不住{*action:laugh}，{h}{*mood:glad.very}。",
        "从那以后，大家[天天|总是]请{h}当领头。",
    )
    w.moral("looks", "own", probability=0.3)
    w.sum(
        "{h}玩照我做的游戏总是跟不上，后来{h}的动作最有趣，大家玩得更开心。",
        "{f}带大家玩学动作的游戏，{h}做错了很难过，后来想出了最有趣的动作。",
    )


@plot("猜声音")
def guess_sound(w: World) -> None:
    """A game of guessing sounds behind a curtain, with a sound no one expected."""
    w.scene(season="any", sky="any")
    w.hero("h")
    w.friend("f")
    w.elder("e")
    w.put("hide", "门后 窗帘后面 柜子后面 屏风后面 桌子下面 箱子后面")
    w.let("s1", "{*sound:bell}")
    w.let("s2", "{*sound:animal}")
    w.let("s3", "{*sound:machine}")
    w.flag("转折")
    w.tell(
        "{when}{h}和{f}在{*place:nook.in}玩猜声音的游戏，{f}躲在{hide}发出声音，让{h}猜。",
        "{when}{e}让{h}和{f}闭上眼睛，猜一猜听到的是什么声音。",
        "{h}的耳朵特别灵，{at}{f}躲到{hide}弄出各种声音，要考考{h}。",
        "<f.say 我躲在{hide}，你来猜是什么声音！>",
    )
    w.tell(
        "{s1}，{s1}！{h}一听就说：“是[铃铛|风铃|三角铁|驼铃|铃鼓]！”",
        "{s2}，{s2}！{h}猜是小动物的叫声，一下子就猜对了。",
        "先是{s1}的声音，像铃声，接着是{s3}的声音，像[机器|车子]。",
        "{s3}，{s3}！{h}想也没想就说：“是车子开过来了！”",
        "{h}听到{s1}，又听到{s2}，全都猜对了。",
    )
    w.more(
        "{f}换了一样又一样，敲{*thing:kitchen}，[摇铃铛|吹口哨|拍桌子|踩地板]，[怎么也难不倒{h}|{h}都猜着了]。",
        "你猜一个，我猜一个，屋里热闹极了。",
        "{e}笑着说，{h}的耳朵比{*animal:wild,small}还灵。",
    )
    w.tell(
        "忽然，从{hide}传来{*sound:eerie=s4}的声音，谁也没听过。",
        "接着，传来一阵{*sound:eerie}的声音，{h}怎么也猜不出来。",
        "可是最后一个声音很怪：{*sound:eerie}，{*sound:eerie}。",
        "就在这时，响起了{*sound:eerie}的声音，{h}愣住了。",
        "忽然响起{*sound:eerie}的声音，{h}听了又听，{*mood:puzzled.very}。",
    )
    w.para()
    w.tell(
        "<h.ask 这是什么呀？><f.worry 这不是我弄的！>",
        "{f}说那不是自己弄的，{h&f.ta}都{*mood:frightened.very}。",
        "{h&f.ta}你看我，我看你，吓得直{*action:shake}。",
        "{f}从{hide}跑出来，脸都白了：“不是我！”",
    )
    w.tell(
        "{h&f.ta}{*manner:sneak}地走过去一看，都愣住了。",
        "{e}拿来{*thing:lamp}，往{hide}一照。",
        "{h}壮着胆子，{*manner:handle}地走了过去。",
    )
    w.tell(
        "原来是{*animal:pet,small,runs.one}躲在那里[打呼噜|磨牙]呢！"
        if not w.animals
        else "原来是{*animal:small,insect,climbs,gentle.one}在那里爬呢！",
        "原来是{*animal:wild,small,runs,gentle.one}在偷吃{*food:snack,-drink}！",
        "听了半天，原来{f}的肚子饿了，正在叫呢！",
        "原来是{*animal:bird,small,flies.one}飞了进来，正在扇翅膀呢！",
    )
    w.tell(
        "{f}{*sound:chuckle}一声笑了，大家都笑得直不起腰。",
        "{h}笑着说：“这个声音，我再也不会忘了！”",
        "{*idiom:afterfright@h}，可又觉得好笑。",
        "屋子里响起一片{*sound:laugh}的笑声。",
        "{*idiom:joke@h}，{f}也笑出了眼泪。",
        "从此，{h}又认识了一种新的声音。",
        "从此，{h}又多认识了一种声音，还把它记在了{*thing:notes}上。",
    )
    w.moral("curious", "dark", probability=0.3)
    w.sum(
        "{h}和{f}玩猜声音的游戏，忽然听到一个奇怪的声音，原来是一场误会。",
        "{h}很会猜声音，可是有一个怪声音猜不出来，最后才发现是怎么回事。",
    )


@plot("捉迷藏")
def hide_seek(w: World) -> None:
    """One hides too well."""
    w.scene(season="any")
    w.hero("h")
    w.friend("f")
    w.friend("g")
    where = w.choice("hidden_home", "hidden_out")
    w.place("p", where)
    w.place("q", where)
    w.place("r", where)
    w.pick("x", "thing", "losable")
    w.flag("转折")
    w.tell(
        "{when}{h}、{f}和{g}玩捉迷藏，轮到{f}来找。",
        "{when}{f}闭上眼睛数到二十，{h}和{g}赶紧躲起来。",
        "<f.shout 藏好了吗？我来找啦！>{h}还没找到地方躲呢。",
        "{h}最会捉迷藏，{at}又和{f}、{g}玩了起来。",
    )
    w.tell(
        "{g}躲在{q.in}，{h}躲在{p.in}，谁也不出声。",
        "{g}躲在{q.in}，{h}看了看{r}，觉得不好，最后{*manner:sneak}地躲在{p.in}。",
        "{h}{*manner:sneak}地躲到{p.in}，连大气也不敢出。",
        "{*idiom:sneak@h}，最后藏在{p.in}。",
        "{h}想藏在{r.in}，又想藏在{q.in}，最后藏在了{p.in}。",
    )
    w.tell(
        "{*idiom:peer@f}，很快找到了{g}，可是{h}在哪儿呢？",
        "{f}很快在{q.in}找到了{g}，可是怎么也找不到{h}。",
        "{f}找了{r}，又找了{q}，只找到{g}。",
        "{g}忍不住{*action:slip}，一下子被{f}找到了，可是{h}在哪儿呢？",
        "{g}露出了尾巴尖，被{f}找到了，{h}却不见影子。" if w.animals else "{g}露出了衣角，被{f}找到了，{h}却不见影子。",
    )
    w.more(
        "{h}听见{f}的脚步声{*sound:steps}地走过去，捂着嘴偷偷地笑。",
        "{p.in}又暖和又安静，{h}的眼皮越来越重。",
        "{*animal:insect,flies,gentle.one}停在{h}的鼻子上，{h}差点打喷嚏。"
        if w.now.season != "winter"
        else "{h}冷得直搓手，可还是一声不出。",
    )
    w.para()
    w.tell(
        "天快黑了，{h}还是没有出来。",
        "{f}喊：“我认输了，出来吧！”可是没有谁回答。" if w.talks else "{f}认输了，可是{h}还是没有出来。",
        "{f}和{g}把{r}都找遍了，也没有看见{h}。",
        "吃饭的时间到了，{h}还不见影子。",
    )
    w.tell(
        "{f}和{g}{*mood:worried.very}，叫来了大家一起找。",
        "{g}急得哭了：“{h}不见了！”" if w.talks else "{g}急得哭了起来。",
        "{*idiom:worried@f}，到处喊着{h}的名字。",
        "大家提着{*thing:lamp}，找遍了每一个角落。",
    )
    w.tell(
        "忽然，{f}听见{p.in}传来呼噜声，走过去一看，{h}睡得正香呢！",
        "最后，{f}在{p.in}找到了{h}，原来{h}等着等着{*action:doze}了。",
        "{h}揉着眼睛从{p.in}走出来，问：“你们怎么还不来找我？”",
        "原来，{h}躲在{p.in}，一不小心睡着了。",
        "{g}大喊一声，惊醒了睡在{p.in}的{h}。",
    )
    w.tell(
        "大家又好气又好笑，{h}{*mood:bashful.very}。",
        "{*idiom:joke@f}，说这一次{h}得了第一名。",
        "<h.laugh 那我是不是赢了？>",
        "{h}一点也不知道大家有多着急，还问是不是该吃饭了。",
        "大家都忍不住{*action:laugh}，{h}也笑了。",
        "{f}说，下次玩捉迷藏，谁也不许睡觉。",
    )
    w.moral("lost", "safe", probability=0.2)
    w.sum(
        "{h}和{f}、{g}玩捉迷藏，躲在{p.in}睡着了，大家找了好久才找到{h}。",
        "捉迷藏的时候，{h}藏在{p.in}，谁也找不到，原来{h}睡着了。",
    )


@plot("化装晚会", "child")
def costume(w: World) -> None:
    """A costume party: the plainest costume, made at the last moment, is the best."""
    w.scene(season="any", day="evening", occasions="圣诞 新年 元旦 儿童节", term=True)
    h = w.hero("h")
    f = w.friend("f")
    g = w.friend("g")
    w.elder("e")
    for key, who in (("a", f), ("b", g), ("c", h)):
        while w.pick(key, "person", "role").pronoun != who.pronoun:
            pass
    dresses = " 公主裙 舞裙 裙子 连衣裙" if h.pronoun == "她" else ""
    w.put("x", "披风 礼服 斗篷 大衣 长袍 面具 帽子 西装 假发 马甲" + dresses)
    w.put("y", "床单 窗帘 桌布 雨衣 围裙 衬衫 外套 披肩 丝巾 毯子 花布")
    w.put("z", "彩纸 报纸 丝带 羽毛 彩带 树叶 纸箱 纽扣 糖纸 花环 毛线 彩灯 贝壳 铃铛 气球 纸盒 蝴蝶结")
    w.tell(
        "学校要开化装晚会，{f}扮{a}，{g}扮{b}，{h}要扮{c}。",
        "{when}大家都在准备化装晚会，{h}想扮成{c}。",
        "{when}{h}收到一张化装晚会的{*thing:invite}，想扮成{c}。",
        "化装晚会就要开始了，{h}早就想好了，要扮{c}。",
        "<f.ask 晚会上你扮什么？><h.say 我要扮{c}！>",
    )
    w.tell(
        "可是出门前，{x}裂了一道大口子，没法穿了。",
        "谁知{h}打开柜子，准备好的{x}不见了。",
        "可是{h}没有{x}，也没有钱去买。",
        "没想到，{*animal:pet,runs}把{h}的{x}咬破了。",
    )
    w.tell(
        "{h}{*mood:downcast.very}，说什么也不肯去了。",
        "{*idiom:worried@h}。",
        "<h.cry 没有{x}，我怎么扮{c}呢？>",
        "{h}看着{f}漂亮的衣服，羡慕极了。",
    )
    w.more(
        "街上已经热闹起来，有扮成{*person:role}的，有扮成{*person:role}的，还有扮成{*animal:wild}的孩子。",
        "{g}借给{h}{*thing:wearable.one}，可是太大了，一走路就掉下来。",
    )
    w.para()
    w.tell(
        "{e}想了想，拿来{y}和{z}，给{h}打扮起来。",
        "{h}自己动手，用{y}和{z}做了一身衣服。",
        "忽然，{h}看见了{y}和{z}，有了主意。",
        "{e}把{y}改了改，又缝上一圈花边。",
    )
    w.tell(
        "{h}一走进去，{*idiom:tease@f}，谁也没认出{h}来。",
        "{h}一走进去，大家都认不出来了。",
        "{h}戴着自己做的面具大步走了进去。",
        "谁也没见过这样的{c}，大家都围了上来。",
        "{*idiom:look_fine@h}。",
        "{h}一上台就向大家{*action:greet}。",
        "灯光一照，{h}的衣服闪闪发亮。",
    )
    w.flag("转折")
    w.tell(
        "没想到，{h}得了第一名，{f}和{g}一齐{*action:cheer}。",
        "没想到，大家都说{h}扮的{c}最像。",
        "谁知评奖的时候，最好的一身衣服，竟是{h}自己做的这一身。",
        "没想到，评选的时候，大家把票都投给了{h}。",
    )
    w.tell(
        "{h}{*mood:glad.very}，给了{e}一个大大的拥抱。",
        "<h.glad 自己做的才是最好的！>",
        "回家的路上，{h}舍不得把衣服脱下来。",
        "{f}和{g}都说，明年也要自己做。",
    )
    w.moral("wit", "own", probability=0.3)
    w.sum(
        "{h}要在化装晚会上扮{c}，可是衣服出了问题，后来自己做了一身，得了好评。",
        "化装晚会前，{h}的{x}出了问题，用{y}和{z}做的新衣服却最受欢迎。",
    )
